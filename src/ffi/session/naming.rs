//! The names that nginx-rtmp's live module knows in this worker.
//!
//! It is the last in the publish chain to say that a name is taken, when the HLS and DASH modules have
//! opened its files for the second publisher already: the first one's segments are replaced, and with
//! DASH the worker may read on at the end of a file that has become shorter for good
//! (ngx_rtmp_dash_module.c, ngx_rtmp_dash_close_fragment).

use nginx_sys::ngx_hash_key;

use super::Session;
use crate::ffi::rtmp::{
    ngx_rtmp_live_app_conf_t, ngx_rtmp_live_ctx_t, ngx_rtmp_live_stream_t, ngx_rtmp_netcall_ctx_t,
};
use crate::ffi::symbols::symbols;

impl Session {
    /// Whether the live module would refuse this client's stream, because another one of its name is
    /// being published here (ngx_rtmp_live_module.c, ngx_rtmp_live_join).
    pub fn is_taken(self, name: &[u8]) -> bool {
        self.is_incoming()
            && self.raw().auto_pushed() == 0
            && self.stream_of(name).is_some_and(|stream| stream.publishing() != 0)
    }

    /// The name that the live module has of the session's stream, once it is live: another one than
    /// the client's where `on_publish` has renamed it.
    pub fn live_name<'a>(self) -> Option<&'a [u8]> {
        // SAFETY: the live module's own, as its header declares it; it lives while the session is
        // joined to it.
        let stream = unsafe {
            let joined = self.place(symbols()?.live_module).read();
            joined.cast::<ngx_rtmp_live_ctx_t>().as_ref()?.stream.as_ref()?
        };
        stream.name.split(|&byte| byte == 0).next()
    }

    /// Whether a callback of nginx-rtmp's, such as `on_publish`, is still to be answered. The rest of
    /// the publish chain waits for that (ngx_rtmp_notify_module.c, ngx_rtmp_notify_publish_handle),
    /// and goes on then, whether the stream was closed meanwhile or not.
    pub fn awaits_callback(self) -> bool {
        let Some(symbols) = symbols() else { return false };
        // SAFETY: what the netcall module keeps of the session, or null.
        let kept = unsafe {
            self.place(symbols.netcall_module).read().cast::<ngx_rtmp_netcall_ctx_t>().as_ref()
        };
        kept.is_some_and(|kept| !kept.cs.is_null())
    }

    fn stream_of<'a>(self, name: &[u8]) -> Option<&'a ngx_rtmp_live_stream_t> {
        // SAFETY: the live module's own configuration, as its header declares it.
        let conf: &ngx_rtmp_live_app_conf_t = unsafe { self.app_conf(symbols()?.live_module)? };
        if conf.live != 1 || conf.streams.is_null() {
            return None;
        }
        let buckets = usize::try_from(conf.nbuckets).ok().filter(|&buckets| buckets > 0)?;
        // SAFETY: the module keeps so many lists of its streams, by the hash of their names.
        unsafe {
            let hash = ngx_hash_key(name.as_ptr().cast_mut(), name.len());
            let mut next = conf.streams.add(hash % buckets).read();
            while let Some(stream) = next.cast_const().as_ref() {
                if stream.name.split(|&byte| byte == 0).next() == Some(name) {
                    return Some(stream);
                }
                next = stream.next;
            }
        }
        None
    }
}
