//! Where the module stands in nginx's way of a request: phase handlers and the header filter.

use nginx_sys::{
    NGX_DECLINED, ngx_array_push, ngx_http_conf_ctx_t, ngx_http_core_main_conf_t,
    ngx_http_core_module, ngx_http_handler_pt, ngx_http_output_header_filter_pt,
    ngx_http_phases_NGX_HTTP_ACCESS_PHASE, ngx_http_phases_NGX_HTTP_CONTENT_PHASE,
    ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE, ngx_http_request_t, ngx_http_top_header_filter,
    ngx_int_t,
};

use super::conf::Conf;
use super::guard::guard;
use super::module::{ERROR, OK};
use super::previous::Previous;
use super::request::{NoMemory, Request};

/// A phase of a request.
#[derive(Clone, Copy, Debug)]
pub enum Phase {
    /// Who may: in front of nginx's own access modules, and again after an internal redirect.
    Access,
    /// After all of them have agreed.
    Precontent,
    /// The answer itself, where the location has no handler such as `proxy_pass`.
    Content,
}

/// What a phase handler makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on as without the handler.
    GoOn,
    /// It is answered with this status, by way of `error_page`.
    Status(u16),
    /// It was answered; what nginx said of that.
    Answered(ngx_int_t),
}

/// A handler of a phase, or of a location.
pub trait Handler {
    /// What it does, for the log.
    const WHAT: &'static str;
    /// What happens if a bug stops it.
    const FALLBACK: Outcome;
    /// Decides about a request.
    fn handle(request: Request) -> Outcome;
}

/// Adds a handler to a phase. Called while modules are set up.
pub fn add_handler<H: Handler>(cf: &Conf<'_>, phase: Phase) -> Result<(), NoMemory> {
    let phase = match phase {
        Phase::Access => ngx_http_phases_NGX_HTTP_ACCESS_PHASE,
        Phase::Precontent => ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE,
        Phase::Content => ngx_http_phases_NGX_HTTP_CONTENT_PHASE,
    };
    // SAFETY: each phase has an array of handlers, set up before any postconfiguration.
    unsafe {
        let handlers = &raw mut (*core_main_conf(cf)).phases[phase as usize].handlers;
        let place = ngx_array_push(handlers).cast::<ngx_http_handler_pt>();
        if place.is_null() {
            return Err(NoMemory);
        }
        place.write(Some(handler::<H>));
    }
    Ok(())
}

/// The main configuration of nginx's core HTTP module, while modules are set up.
pub(super) fn core_main_conf(cf: &Conf<'_>) -> *mut ngx_http_core_main_conf_t {
    // SAFETY: while HTTP modules are set up, `cf.ctx` is that of `http {}`, and the core module has
    // a configuration there.
    unsafe {
        let ctx = (*cf.as_ptr()).ctx.cast::<ngx_http_conf_ctx_t>();
        (*ctx).main_conf.add(ngx_http_core_module.ctx_index).read().cast()
    }
}

pub(super) unsafe extern "C" fn handler<H: Handler>(request: *mut ngx_http_request_t) -> ngx_int_t {
    let outcome = guard(H::WHAT, H::FALLBACK, || {
        // SAFETY: nginx's own, valid for the call.
        H::handle(unsafe { Request::from_raw(request) })
    });
    match outcome {
        Outcome::GoOn => NGX_DECLINED as ngx_int_t,
        Outcome::Status(status) => status as ngx_int_t,
        Outcome::Answered(rc) => rc,
    }
}

/// A look at every answer before its header goes out.
pub trait HeaderFilter {
    /// Changes the header lines.
    fn edit(request: Request) -> Result<(), NoMemory>;
}

/// The filter behind ours.
static NEXT: Previous<ngx_http_output_header_filter_pt> = Previous::new();

/// Puts the filter in front of those that are there. Called while modules are set up, once for each
/// configuration: nginx starts with an empty chain each time.
pub fn install_header_filter<F: HeaderFilter>() {
    // SAFETY: nginx's variable, which nobody else uses meanwhile.
    unsafe { NEXT.hook(&raw mut ngx_http_top_header_filter, Some(filter::<F>)) };
}

unsafe extern "C" fn filter<F: HeaderFilter>(request: *mut ngx_http_request_t) -> ngx_int_t {
    // A bug leaves the answer as nginx made it.
    let edited = guard("an answer's headers", Ok(()), || {
        // SAFETY: nginx's own, valid for the call.
        F::edit(unsafe { Request::from_raw(request) })
    });
    if edited.is_err() {
        return ERROR;
    }
    // SAFETY: the call that nginx makes of a filter.
    NEXT.get().map_or(OK, |next| unsafe { next(request) })
}
