//! nginx-rtmp's tables of handlers: what it calls for a message, an event of a connection, and a
//! command.

use nginx_sys::{ngx_array_push, ngx_chain_t, ngx_int_t, ngx_str_t};
use thiserror::Error;

use super::conf::Conf;
use super::previous::Previous;
use super::rtmp::{
    ngx_rtmp_amf_handler_t, ngx_rtmp_conf_ctx_t, ngx_rtmp_core_main_conf_t, ngx_rtmp_handler_pt,
    ngx_rtmp_header_t, ngx_rtmp_session_t,
};
use super::symbols::Symbols;

/// A handler of a message or an event.
pub type Handler = unsafe extern "C" fn(
    *mut ngx_rtmp_session_t,
    *mut ngx_rtmp_header_t,
    *mut ngx_chain_t,
) -> ngx_int_t;

/// The tables, while modules are set up. nginx-rtmp adds its own readers of commands and control
/// messages behind all modules (ngx_rtmp.c, ngx_rtmp_init_event_handlers), and hashes the commands
/// then.
#[derive(Debug)]
pub struct Events(*mut ngx_rtmp_core_main_conf_t);

/// There is no memory for another handler.
#[derive(Debug, Error)]
#[error("there is no memory for the module's handlers")]
pub struct NoMemory;

impl Events {
    /// The tables of the configuration that is being set up.
    ///
    /// # Safety
    ///
    /// Called from a `postconfiguration` of an RTMP module.
    pub unsafe fn of(cf: &Conf<'_>, symbols: &Symbols) -> Events {
        // SAFETY: `cf.ctx` is nginx-rtmp's then, and its core module has a main configuration.
        let core = unsafe {
            let ctx = (*cf.as_ptr()).ctx.cast::<ngx_rtmp_conf_ctx_t>();
            (*ctx).main_conf.add((*symbols.core_module).ctx_index).read()
        };
        Events(core.cast())
    }

    /// nginx-rtmp's main configuration, which they are a part of.
    pub fn main_conf(&self) -> *const ngx_rtmp_core_main_conf_t {
        self.0
    }

    /// Adds a handler behind those that other modules have added for an event.
    pub fn add(&self, event: u32, handler: Handler) -> Result<(), NoMemory> {
        // SAFETY: `events` has an array of handlers for each event, set up before this.
        unsafe {
            let place = ngx_array_push(&raw mut (*self.0).events[event as usize]);
            if place.is_null() {
                return Err(NoMemory);
            }
            place.cast::<ngx_rtmp_handler_pt>().write(Some(handler));
        }
        Ok(())
    }

    /// Puts a handler in front of them.
    pub fn add_first(&self, event: u32, handler: Handler) -> Result<(), NoMemory> {
        self.add(event, handler)?;
        // SAFETY: as above; nobody else holds the array.
        unsafe {
            (*self.0).events[event as usize].as_slice_mut::<ngx_rtmp_handler_pt>().rotate_right(1);
        }
        Ok(())
    }

    /// Puts a handler behind each of those that there are for an event.
    pub fn add_behind_each(&self, event: u32, handler: Handler) -> Result<(), NoMemory> {
        // SAFETY: as above; nobody else holds the array.
        let former = unsafe {
            let array = &raw mut (*self.0).events[event as usize];
            let former = (*array).as_slice::<ngx_rtmp_handler_pt>().to_vec();
            (*array).nelts = 0;
            former
        };
        for stock in former.into_iter().flatten() {
            self.add(event, stock)?;
            self.add(event, handler)?;
        }
        Ok(())
    }

    /// Takes the place of the last handler that nginx-rtmp itself has for an event, which is kept.
    pub fn take_last(
        &self,
        event: u32,
        handler: Handler,
        stock: &Previous<ngx_rtmp_handler_pt>,
        symbols: &Symbols,
    ) {
        // SAFETY: as above; nobody else holds the array.
        let handlers =
            unsafe { (*self.0).events[event as usize].as_slice_mut::<ngx_rtmp_handler_pt>() };
        let last = handlers.iter_mut().rfind(|handler| {
            handler.is_some_and(|handler| symbols.is_of_nginx_rtmp(handler as usize))
        });
        if let Some(last) = last {
            // SAFETY: an entry of the table, while modules are set up.
            unsafe { stock.hook(last, Some(handler)) };
        }
    }

    /// Adds a handler behind those that other modules have added for a command.
    pub fn add_command(&self, name: ngx_str_t, handler: Handler) -> Result<(), NoMemory> {
        // SAFETY: `amf` is an array of that type, set up before any module's postconfiguration.
        unsafe {
            let place = ngx_array_push(&raw mut (*self.0).amf).cast::<ngx_rtmp_amf_handler_t>();
            if place.is_null() {
                return Err(NoMemory);
            }
            place.write(ngx_rtmp_amf_handler_t { name, handler: Some(handler) });
        }
        Ok(())
    }

    /// Takes the place of a command's handler, which is kept. Says whether there was one.
    pub fn take_command(
        &self,
        name: &str,
        handler: Handler,
        stock: &Previous<ngx_rtmp_handler_pt>,
    ) -> bool {
        // SAFETY: `amf` is an array of that type, set up before any module's postconfiguration.
        let commands = unsafe { (*self.0).amf.as_slice_mut::<ngx_rtmp_amf_handler_t>() };
        let command =
            commands.iter_mut().find(|command| command.name.as_bytes() == name.as_bytes());
        if let Some(command) = command {
            // SAFETY: an entry of the table, while modules are set up.
            unsafe { stock.hook(&raw mut command.handler, Some(handler)) };
            return true;
        }
        false
    }
}
