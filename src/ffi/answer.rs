//! The answer to an HTTP request: its status, its header lines, and a body from memory.

use std::cell::Cell;
use std::ffi::CStr;
use std::mem::zeroed;
use std::ptr;
use std::rc::Rc;

use nginx_sys::{
    ngx_array_push, ngx_array_t, ngx_buf_t, ngx_cached_time, ngx_chain_t,
    ngx_http_discard_request_body, ngx_http_output_filter, ngx_http_send_header, ngx_http_set_etag,
    ngx_http_time, ngx_int_t, ngx_list_push, ngx_palloc, ngx_pool_t, ngx_str_t, ngx_table_elt_t,
};

use super::module::{ERROR, OK, text};
use super::request::{NoMemory, Request, bytes, elements, is_named};

/// What a line in the log says of a client that goes, or takes too long, in the midst of an answer.
const ACTION: &CStr = c"sending response to client";

impl Request {
    /// The answer's status.
    pub fn status(self) -> u16 {
        u16::try_from(self.raw().headers_out.status).unwrap_or(0)
    }

    /// Gives the answer this media type, without a charset.
    pub fn set_content_type(self, mime: &'static CStr) {
        // SAFETY: the request's own; the type is static, and these fields say together what it is.
        unsafe {
            let headers = &raw mut (*self.as_ptr()).headers_out;
            (*headers).content_type = text(mime);
            (*headers).content_type_len = mime.count_bytes();
            (*headers).content_type_lowcase = ptr::null_mut();
            (*headers).content_type_hash = 0;
            (*headers).charset = ngx_str_t::default();
        }
    }

    /// Whether the body is in parts that are each of the file's type (RFC 9110, section 14.6).
    pub fn is_multipart(self) -> bool {
        self.raw().headers_out.content_type.as_bytes().starts_with(b"multipart/byteranges")
    }

    /// Whether the answer stands for another one, by `error_page`: what goes out under this name
    /// is not what the name stands for.
    pub fn is_substitute(self) -> bool {
        self.raw().error_page() != 0
    }

    /// The values of a header of the answer.
    pub fn answer_header<'a>(self, name: &'static CStr) -> impl Iterator<Item = &'a [u8]> {
        elements(&self.raw().headers_out.headers)
            // SAFETY: the elements of that list; their texts live as long as the request.
            .map(|element| unsafe { &*element })
            .filter(move |element| is_named(element, name))
            // SAFETY: as above.
            .map(|element| unsafe { bytes(element.value) })
    }

    /// Gives the answer this header with this one value, in the place of what it had.
    pub fn set_header(self, name: &'static CStr, value: &[u8]) -> Result<(), NoMemory> {
        self.replace_header(name, self.text(value)?).map(|_| ())
    }

    /// The same with a value that needs no copy.
    pub fn set_static_header(
        self,
        name: &'static CStr,
        value: &'static [u8],
    ) -> Result<(), NoMemory> {
        let value = ngx_str_t { len: value.len(), data: value.as_ptr().cast_mut() };
        self.replace_header(name, value).map(|_| ())
    }

    /// Takes a header back.
    pub fn remove_header(self, name: &'static CStr) {
        for element in elements(&self.raw().headers_out.headers) {
            // SAFETY: an element of the answer's headers, which nobody else is looking at.
            unsafe {
                if is_named(&*element, name) {
                    (*element).hash = 0;
                }
            }
        }
    }

    /// Sets `Cache-Control`, also for those who look at nginx's own list of them
    /// (`$sent_http_cache_control`, gzip_proxied).
    pub fn set_cache_control(self, value: &[u8]) -> Result<(), NoMemory> {
        let element = self.replace_header(c"Cache-Control", self.text(value)?)?;
        // SAFETY: the request's own list, and an element of its headers.
        unsafe { (*self.as_ptr()).headers_out.cache_control.become_only(element, self.raw().pool) }
    }

    /// Sets `Expires`.
    pub fn set_expires(self, value: &[u8]) -> Result<(), NoMemory> {
        let element = self.replace_header(c"Expires", self.text(value)?)?;
        // SAFETY: the request's own.
        unsafe { (*self.as_ptr()).headers_out.expires = element };
        Ok(())
    }

    /// Takes `Expires` back.
    pub fn remove_expires(self) {
        self.remove_header(c"Expires");
        // SAFETY: the request's own.
        unsafe { (*self.as_ptr()).headers_out.expires = ptr::null_mut() };
    }

    /// Answers with a body from memory, under an entity tag of its own: no `Last-Modified`, so that
    /// the tag alone decides conditional requests. The body is not empty.
    pub fn send(self, mime: &'static CStr, etag: &str, body: Vec<u8>) -> ngx_int_t {
        self.without_its_body(|| {
            let tag = self.replace_header(c"ETag", self.text(etag.as_bytes())?)?;
            // SAFETY: the request's own; nothing has been sent.
            unsafe {
                (*self.as_ptr()).headers_out.etag = tag;
                (*self.as_ptr()).headers_out.last_modified_time = -1;
            }
            self.stands_for_a_file();
            self.send_body(mime, body)
        })
    }

    /// Answers with the contents of a file that was last changed at `modified`, in seconds since 1970,
    /// as nginx's static module would (ngx_http_static_module.c). They are not empty.
    pub fn send_file(self, mime: &'static CStr, modified: i64, body: Rc<Vec<u8>>) -> ngx_int_t {
        self.without_its_body(|| {
            // SAFETY: the request's own; nothing has been sent. The tag is made of the other two.
            unsafe {
                let request = self.as_ptr();
                (*request).headers_out.last_modified_time = modified;
                (*request).headers_out.content_length_n = body.len() as nginx_sys::off_t;
                if ngx_http_set_etag(request) != OK {
                    return Err(NoMemory);
                }
            }
            self.stands_for_a_file();
            self.send_body(mime, Shared(body))
        })
    }

    /// Answers with a body from memory that nobody may keep. It is not empty.
    pub fn send_fresh(self, mime: &'static CStr, body: Vec<u8>) -> ngx_int_t {
        self.without_its_body(|| {
            // SAFETY: the request's own; nothing has been sent.
            unsafe {
                (*self.as_ptr()).headers_out.last_modified_time = -1;
                (*self.as_ptr()).set_disable_not_modified(1);
            }
            self.set_cache_control(b"no-store")?;
            self.send_body(mime, body)
        })
    }

    /// Answers once the request's own body is out of the way. One that is wrong is refused instead,
    /// while there are no header lines yet that an `error_page` would go out with.
    fn without_its_body(self, answer: impl FnOnce() -> Result<ngx_int_t, NoMemory>) -> ngx_int_t {
        // SAFETY: the request's own.
        match unsafe { ngx_http_discard_request_body(self.as_ptr()) } {
            OK => answer().unwrap_or(ERROR),
            rc => rc,
        }
    }

    /// Parts of the body may be asked for. The log module need not look for the file's directory, and
    /// would not find one where `alias` names the file itself: no line is written then.
    fn stands_for_a_file(self) {
        // SAFETY: the request's own.
        unsafe {
            let request = self.as_ptr();
            (*request).set_allow_ranges(1);
            (*request).set_root_tested(u32::from(!self.is_substitute()));
        }
    }

    fn send_body<T: AsRef<[u8]>>(
        self,
        mime: &'static CStr,
        body: T,
    ) -> Result<ngx_int_t, NoMemory> {
        let body = self.keep(body).ok_or(NoMemory)?.as_ref();
        // SAFETY: nothing has been sent; everything that is pointed to lives in the request's pool.
        unsafe {
            let request = self.as_ptr();
            (*(*(*request).connection).log).action = ACTION.as_ptr().cast_mut();
            (*request).headers_out.status = 200;
            (*request).headers_out.content_length_n = body.len() as nginx_sys::off_t;
            self.set_content_type(mime);

            let rc = ngx_http_send_header(request);
            if rc == ERROR || rc > OK || (*request).header_only() != 0 {
                return Ok(rc);
            }
            let bytes = body.as_ptr_range();
            let mut buf: ngx_buf_t = zeroed();
            buf.pos = bytes.start.cast_mut();
            buf.last = bytes.end.cast_mut();
            buf.start = buf.pos;
            buf.end = buf.last;
            buf.set_memory(1);
            buf.set_last_buf(1);
            buf.set_last_in_chain(1);
            let buf = self.keep(buf).ok_or(NoMemory)?;
            let mut chain =
                ngx_chain_t { buf: ptr::from_ref(buf).cast_mut(), next: ptr::null_mut() };
            Ok(ngx_http_output_filter(request, &raw mut chain))
        }
    }

    /// Puts a header into the place of the first of its name, and takes the others back; appends it
    /// if there is none.
    fn replace_header(
        self,
        name: &'static CStr,
        value: ngx_str_t,
    ) -> Result<*mut ngx_table_elt_t, NoMemory> {
        let mut place: *mut ngx_table_elt_t = ptr::null_mut();
        for element in elements(&self.raw().headers_out.headers) {
            // SAFETY: an element of the answer's headers, which nobody else is looking at.
            unsafe {
                if is_named(&*element, name) {
                    (*element).hash = 0;
                    place = if place.is_null() { element } else { place };
                }
            }
        }
        // SAFETY: the list is the answer's; a new element is made of zeroes as ngx_pcalloc makes it.
        unsafe {
            if place.is_null() {
                place = ngx_list_push(&raw mut (*self.as_ptr()).headers_out.headers).cast();
                if place.is_null() {
                    return Err(NoMemory);
                }
                place.write(zeroed());
            }
            (*place).hash = 1;
            (*place).key = text(name);
            (*place).value = value;
        }
        Ok(place)
    }
}

/// A body that others send, too.
struct Shared(Rc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The date that is `seconds` from now, as HTTP writes it. Thousands of answers have the same one.
pub fn http_date(seconds: i64) -> [u8; 29] {
    thread_local! {
        static LAST: Cell<(i64, [u8; 29])> = const { Cell::new((0, *b"Thu, 01 Jan 1970 00:00:00 GMT")) };
    }
    // SAFETY: nginx's cached time is always there.
    let time = unsafe { (*ngx_cached_time).sec } + seconds;
    let (last, mut date) = LAST.get();
    if time != last {
        // SAFETY: nginx writes these 29 bytes (ngx_http_time).
        unsafe { ngx_http_time(date.as_mut_ptr(), time) };
        LAST.set((time, date));
    }
    date
}

/// Where nginx keeps the answer's `Cache-Control` lines: an array of them before nginx 1.23, a
/// chain of them since.
trait HeaderLines {
    /// # Safety
    ///
    /// `element` is a header of the answer whose pool this is.
    unsafe fn become_only(
        &mut self,
        element: *mut ngx_table_elt_t,
        pool: *mut ngx_pool_t,
    ) -> Result<(), NoMemory>;
}

impl HeaderLines for ngx_array_t {
    unsafe fn become_only(
        &mut self,
        element: *mut ngx_table_elt_t,
        pool: *mut ngx_pool_t,
    ) -> Result<(), NoMemory> {
        // SAFETY: the array is all zeroes until its first use, and then one of such pointers.
        unsafe {
            if self.elts.is_null() {
                let size = size_of::<*mut ngx_table_elt_t>();
                let elts = ngx_palloc(pool, size);
                if elts.is_null() {
                    return Err(NoMemory);
                }
                *self = ngx_array_t { elts, nelts: 0, size, nalloc: 1, pool };
            }
            self.nelts = 0;
            let place = ngx_array_push(self).cast::<*mut ngx_table_elt_t>();
            if place.is_null() {
                return Err(NoMemory);
            }
            place.write(element);
        }
        Ok(())
    }
}

impl HeaderLines for *mut ngx_table_elt_t {
    unsafe fn become_only(
        &mut self,
        element: *mut ngx_table_elt_t,
        _pool: *mut ngx_pool_t,
    ) -> Result<(), NoMemory> {
        *self = element;
        Ok(())
    }
}
