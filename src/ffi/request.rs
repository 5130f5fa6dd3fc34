//! An HTTP request, and what can be asked of it.

use std::ffi::{CStr, c_void};
use std::mem::needs_drop;
use std::ptr::{self, NonNull};
use std::slice;

use nginx_sys::{
    NGX_HTTP_GET, NGX_HTTP_HEAD, NGX_HTTP_OPTIONS, ngx_http_arg, ngx_http_request_t,
    ngx_list_part_t, ngx_list_t, ngx_module_t, ngx_palloc, ngx_pnalloc, ngx_pool_cleanup_add,
    ngx_str_t, ngx_table_elt_t, ngx_uint_t,
};
use thiserror::Error;

use super::guard::guard;
use super::log::Log;
use super::module::OK;

/// A request. It lives until its pool is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request(NonNull<ngx_http_request_t>);

/// There is no memory for an answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("there is no memory for the answer")]
pub struct NoMemory;

/// A request's method, as far as anybody here asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET or HEAD.
    Read,
    /// OPTIONS.
    Options,
    /// Any other.
    Other,
}

impl Request {
    /// # Safety
    ///
    /// `request` is the one that nginx handed to the running callback, and the value is not used
    /// once the request's pool is gone.
    pub unsafe fn from_raw(request: *mut ngx_http_request_t) -> Request {
        // SAFETY: nginx never hands over a null request.
        Request(unsafe { NonNull::new_unchecked(request) })
    }

    /// nginx's own structure.
    pub fn as_ptr(self) -> *mut ngx_http_request_t {
        self.0.as_ptr()
    }

    pub(super) fn raw<'a>(self) -> &'a ngx_http_request_t {
        // SAFETY: valid as long as the value may be used.
        unsafe { &*self.0.as_ptr() }
    }

    /// The client's request: the one itself, or the one that a subrequest works for.
    pub fn main(self) -> Request {
        // SAFETY: set for every request, and valid as long as its subrequests.
        unsafe { Request::from_raw(self.raw().main) }
    }

    /// Whether it is the client's own, not a subrequest.
    pub fn is_main(self) -> bool {
        self.main() == self
    }

    /// Its method.
    pub fn method(self) -> Method {
        const GET: ngx_uint_t = NGX_HTTP_GET as ngx_uint_t;
        const HEAD: ngx_uint_t = NGX_HTTP_HEAD as ngx_uint_t;
        const OPTIONS: ngx_uint_t = NGX_HTTP_OPTIONS as ngx_uint_t;
        match self.raw().method {
            GET | HEAD => Method::Read,
            OPTIONS => Method::Options,
            _ => Method::Other,
        }
    }

    /// Its path: decoded, and as `rewrite` has left it.
    pub fn path<'a>(self) -> &'a [u8] {
        // SAFETY: the path stays in the request's pool even if a rewrite replaces it.
        unsafe { bytes(self.raw().uri) }
    }

    /// The value of an argument in the query, as it stands there.
    pub fn argument<'a>(self, name: &CStr) -> Option<&'a [u8]> {
        let mut value = ngx_str_t::default();
        // SAFETY: the name has that many bytes; the value is a part of the request's query.
        unsafe {
            let name_at = name.as_ptr().cast_mut().cast();
            let rc = ngx_http_arg(self.as_ptr(), name_at, name.count_bytes(), &raw mut value);
            (rc == OK).then(|| bytes(value))
        }
    }

    /// The value of a header of the request.
    pub fn header<'a>(self, name: &CStr) -> Option<&'a [u8]> {
        elements(&self.raw().headers_in.headers)
            // SAFETY: the elements of that list, whose texts live in the request's buffers.
            .map(|element| unsafe { &*element })
            .find(|element| is_named(element, name))
            // SAFETY: as above.
            .map(|element| unsafe { bytes(element.value) })
    }

    /// The log that adds client, server and request to a line.
    pub fn log(self) -> Log {
        // SAFETY: the connection's log lives as long as it.
        unsafe { Log::from_raw((*self.raw().connection).log) }
    }

    /// A module's configuration of the request's location.
    ///
    /// # Safety
    ///
    /// `module` is an HTTP module whose `create_loc_conf` made a `T`.
    pub unsafe fn location_conf<'a, T>(self, module: *const ngx_module_t) -> Option<&'a T> {
        // SAFETY: nginx keeps one configuration for each HTTP module's index.
        unsafe { self.raw().loc_conf.add((*module).ctx_index).read().cast::<T>().as_ref() }
    }

    /// What [`Request::attach`] has put there for a module.
    ///
    /// # Safety
    ///
    /// `T` is the type that was attached for this module.
    pub unsafe fn attached<'a, T>(self, module: *const ngx_module_t) -> Option<&'a T> {
        // SAFETY: nginx keeps a place for each HTTP module's index; the value lives in the pool.
        unsafe { self.raw().ctx.add((*module).ctx_index).read().cast::<T>().as_ref() }
    }

    /// Has the request hold a value for a module, until its end or an internal redirect; the value
    /// itself is dropped with the request.
    ///
    /// # Safety
    ///
    /// Every use of this module's place has this type.
    pub unsafe fn attach<'a, T>(self, module: *const ngx_module_t, value: T) -> Option<&'a T> {
        let place = self.keep(value)?;
        // SAFETY: nginx keeps a place for each HTTP module's index.
        unsafe {
            let context = self.raw().ctx.add((*module).ctx_index);
            context.write(ptr::from_ref(place).cast_mut().cast::<c_void>());
        }
        Some(place)
    }

    /// Keeps a value until the request's end.
    pub fn keep<'a, T>(self, value: T) -> Option<&'a T> {
        const { assert!(align_of::<T>() <= align_of::<usize>()) } // as pools align (ngx_palloc.h)
        let pool = self.raw().pool;
        // SAFETY: the request's own pool, whose memory and clean-ups are null or good for the value
        // until it is destroyed. A clean-up without a handler does nothing.
        unsafe {
            let mut cleanup = ptr::null_mut();
            if needs_drop::<T>() {
                cleanup = ngx_pool_cleanup_add(pool, 0);
                if cleanup.is_null() {
                    return None;
                }
            }
            let place = ngx_palloc(pool, size_of::<T>()).cast::<T>();
            if place.is_null() {
                return None;
            }
            place.write(value);
            if let Some(cleanup) = cleanup.as_mut() {
                cleanup.data = place.cast::<c_void>();
                cleanup.handler = Some(drop_kept::<T>);
            }
            place.as_ref()
        }
    }

    /// Copies a text into the request's pool.
    pub(super) fn text(self, value: &[u8]) -> Result<ngx_str_t, NoMemory> {
        // SAFETY: the pool is the request's own, and gives that many bytes or null.
        unsafe {
            let data = ngx_pnalloc(self.raw().pool, value.len().max(1)).cast::<u8>();
            if data.is_null() {
                return Err(NoMemory);
            }
            ptr::copy_nonoverlapping(value.as_ptr(), data, value.len());
            Ok(ngx_str_t { len: value.len(), data })
        }
    }
}

unsafe extern "C" fn drop_kept<T>(value: *mut c_void) {
    // SAFETY: `Request::keep` put a `T` there, and nobody uses it any more.
    guard("the end of a request", (), || unsafe { value.cast::<T>().drop_in_place() });
}

/// The bytes of one of nginx's strings.
///
/// # Safety
///
/// They stay as they are while the result is used.
pub(super) unsafe fn bytes<'a>(value: ngx_str_t) -> &'a [u8] {
    if value.data.is_null() {
        return &[];
    }
    // SAFETY: `len` bytes stand there; that they stay is the caller's promise.
    unsafe { slice::from_raw_parts(value.data, value.len) }
}

/// The elements of one of nginx's lists of headers.
pub(super) fn elements(list: &ngx_list_t) -> impl Iterator<Item = *mut ngx_table_elt_t> + use<> {
    let mut part: *const ngx_list_part_t = &raw const list.part;
    let mut index = 0;
    std::iter::from_fn(move || {
        // SAFETY: each part of the list has `nelts` elements and points to the next part.
        unsafe {
            while index >= part.as_ref()?.nelts {
                part = (*part).next;
                index = 0;
            }
            index += 1;
            Some((*part).elts.cast::<ngx_table_elt_t>().add(index - 1))
        }
    })
}

/// Whether a header has this name and was not taken back, which nginx marks by a hash of 0.
pub(super) fn is_named(element: &ngx_table_elt_t, name: &CStr) -> bool {
    // SAFETY: a header's name stays as long as the header.
    let key = unsafe { bytes(element.key) };
    element.hash != 0 && key.eq_ignore_ascii_case(name.to_bytes())
}
