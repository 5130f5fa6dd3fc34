//! nginx's log.

use std::fmt::Arguments;
use std::ptr::NonNull;

use nginx_sys::{
    NGX_LOG_EMERG, NGX_LOG_ERR, NGX_LOG_INFO, NGX_LOG_NOTICE, NGX_LOG_WARN, ngx_log_t, ngx_uint_t,
};
use ngx::log;

/// A log that lines can be written to, with nginx's own prefix and, on a connection's log, its
/// client and server behind the line.
#[derive(Clone, Copy, Debug)]
pub struct Log(NonNull<ngx_log_t>);

impl Log {
    /// # Safety
    ///
    /// `log` is null or outlives the value; null stands for the cycle's log.
    pub unsafe fn from_raw(log: *mut ngx_log_t) -> Log {
        NonNull::new(log).map_or_else(Log::cycle, Log)
    }

    /// The server's own log.
    pub fn cycle() -> Log {
        Log(log::ngx_cycle_log())
    }

    /// The log as nginx's own structures want it.
    pub fn as_ptr(self) -> *mut ngx_log_t {
        self.0.as_ptr()
    }

    /// The configuration or the server is unusable.
    pub fn emerg(self, line: Arguments<'_>) {
        self.write(NGX_LOG_EMERG, line);
    }

    /// Something failed that the operator has to mend.
    pub fn error(self, line: Arguments<'_>) {
        self.write(NGX_LOG_ERR, line);
    }

    /// A refusal, or something that the operator may want to mend.
    pub fn warn(self, line: Arguments<'_>) {
        self.write(NGX_LOG_WARN, line);
    }

    /// A decision that let somebody in, and its end.
    pub fn notice(self, line: Arguments<'_>) {
        self.write(NGX_LOG_NOTICE, line);
    }

    /// Detail.
    pub fn info(self, line: Arguments<'_>) {
        self.write(NGX_LOG_INFO, line);
    }

    fn write(self, level: u32, line: Arguments<'_>) {
        ngx::ngx_log_error!(level as ngx_uint_t, self.0.as_ptr(), "{line}");
    }
}
