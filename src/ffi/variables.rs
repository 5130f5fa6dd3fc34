//! nginx's variables: those that the module adds, and values that are made of any.

use std::ffi::CStr;
use std::fmt;
use std::mem::zeroed;

use nginx_sys::{
    NGX_HTTP_VAR_NOCACHEABLE, ngx_http_add_variable, ngx_http_compile_complex_value,
    ngx_http_compile_complex_value_t, ngx_http_complex_value, ngx_http_complex_value_t,
    ngx_http_request_t, ngx_http_variable_t, ngx_http_variable_value_t, ngx_int_t, ngx_str_t,
    ngx_uint_t,
};

use super::conf::{Conf, Mistake};
use super::guard::guard;
use super::module::{ERROR, OK, text};
use super::phases::core_main_conf;
use super::request::{Request, bytes};

/// A variable that the module adds.
pub trait Variable {
    /// Its name, without the dollar sign.
    const NAME: &'static CStr;
    /// Its value for a request, or for what a subrequest works for. It has to stay until the end of
    /// the request.
    fn value<'a>(request: Request) -> Option<&'a [u8]>;
}

/// Adds a variable. Called before the configuration is read.
pub fn add_variable<V: Variable>(cf: &Conf<'_>) -> Result<(), Mistake> {
    let mut name = text(V::NAME);
    // SAFETY: HTTP modules are being set up; the name is static.
    unsafe {
        let variable = ngx_http_add_variable(
            cf.as_ptr(),
            &raw mut name,
            NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t,
        );
        if variable.is_null() {
            return Err(Mistake::Nginx);
        }
        (*variable).get_handler = Some(get::<V>);
    }
    Ok(())
}

/// Whether anything in the configuration uses the variable. Called when all of it was read.
pub fn is_used<V: Variable>(cf: &Conf<'_>) -> bool {
    // SAFETY: an array of the variables that something has asked an index for.
    unsafe {
        (*core_main_conf(cf))
            .variables
            .as_slice::<ngx_http_variable_t>()
            .iter()
            .any(|variable| bytes(variable.name) == V::NAME.to_bytes())
    }
}

unsafe extern "C" fn get<V: Variable>(
    request: *mut ngx_http_request_t,
    value: *mut ngx_http_variable_value_t,
    _data: usize,
) -> ngx_int_t {
    guard("a variable", ERROR, || {
        // SAFETY: nginx's own, valid for the call.
        let found = V::value(unsafe { Request::from_raw(request) }.main());
        // SAFETY: nginx hands over the place for the value.
        let value = unsafe { &mut *value };
        value.set_not_found(u32::from(found.is_none()));
        value.set_valid(u32::from(found.is_some()));
        value.set_no_cacheable(0);
        if let Some(found) = found {
            value.set_len(found.len() as u32);
            value.data = found.as_ptr().cast_mut();
        }
        OK
    })
}

/// A text with variables in it, as a directive has it.
#[derive(Clone, Copy)]
pub struct ComplexValue(ngx_http_complex_value_t);

impl ComplexValue {
    /// The first argument of the directive.
    pub fn first_argument(cf: &Conf<'_>) -> Result<ComplexValue, Mistake> {
        let mut word = cf.raw_word(1);
        // SAFETY: all zeroes is how nginx starts both; what is compiled lives in the cycle's pool.
        unsafe {
            let mut value: ngx_http_complex_value_t = zeroed();
            let mut compile: ngx_http_compile_complex_value_t = zeroed();
            compile.cf = cf.as_ptr();
            compile.value = &raw mut word;
            compile.complex_value = &raw mut value;
            match ngx_http_compile_complex_value(&raw mut compile) {
                OK => Ok(ComplexValue(value)),
                _ => Err(Mistake::Nginx),
            }
        }
    }

    /// The text for a request; `None` if there is no memory.
    pub fn evaluate<'a>(&self, request: Request) -> Option<&'a [u8]> {
        let mut value = self.0;
        let mut result = ngx_str_t::default();
        // SAFETY: the configuration that this was compiled for outlives the request, in whose pool
        // or in which the result is.
        unsafe {
            let rc = ngx_http_complex_value(request.as_ptr(), &raw mut value, &raw mut result);
            (rc == OK).then(|| bytes(result))
        }
    }
}

impl fmt::Debug for ComplexValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComplexValue({})", self.0.value)
    }
}
