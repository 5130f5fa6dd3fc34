//! Directives: their arguments, and errors that name file, line, directive and what was expected.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::time::Duration;

use nginx_sys::{
    NGX_LOG_EMERG, ngx_command_t, ngx_conf_full_name, ngx_conf_t, ngx_cycle_t, ngx_module_t,
    ngx_parse_size, ngx_parse_time, ngx_str_t, ngx_uint_t,
};
use ngx::core::Pool;
use thiserror::Error;

use super::guard::guard;
use super::module::{CONF_ERROR, CONF_OK, text};

/// What is wrong with a directive; completes the sentence `"NAME" directive …`.
#[derive(Debug, Error)]
pub enum Mistake {
    /// It stands twice in one block.
    #[error("is duplicate")]
    Duplicate,
    /// Its value is none that it takes.
    #[error("has the value \"{value}\", expected {expected}")]
    Value {
        /// What stands there.
        value: String,
        /// What may stand there.
        expected: String,
    },
    /// nginx could not do what the directive asks for; it has said why.
    #[error("could not be set up")]
    Nginx,
}

/// One directive of a configuration type.
pub trait Directive {
    /// The configuration it belongs to.
    type Conf;
    /// Its name.
    const NAME: &'static CStr;
    /// Where it may stand and how many arguments it takes, in nginx's flags.
    const KIND: u32;
    /// Takes the directive's arguments into the configuration.
    fn set(cf: &Conf<'_>, conf: &mut Self::Conf) -> Result<(), Mistake>;
}

/// The table line of a directive. `offset` is where nginx finds the configuration: 0 in the main
/// context, else an `NGX_…_CONF_OFFSET`.
pub const fn command<D: Directive>(offset: usize) -> ngx_command_t {
    ngx_command_t {
        name: text(D::NAME),
        type_: D::KIND as ngx_uint_t,
        set: Some(set::<D>),
        conf: offset as ngx_uint_t,
        offset: 0,
        post: std::ptr::null_mut(),
    }
}

unsafe extern "C" fn set<D: Directive>(
    cf: *mut ngx_conf_t,
    _command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard("a directive", CONF_ERROR, || {
        // SAFETY: nginx hands over the configuration that create_conf made for this module and
        // context, and nobody else uses it while directives are read.
        let conf = unsafe { &mut *conf.cast::<D::Conf>() };
        // SAFETY: nginx's own, valid for the call.
        let cf = unsafe { Conf::from_raw(cf) };
        match D::set(&cf, conf) {
            Ok(()) => CONF_OK,
            Err(mistake) => {
                cf.emerg(&format!("\"{}\" directive {mistake}", D::NAME.to_string_lossy()))
            }
        }
    })
}

/// The configuration that is being read.
#[derive(Debug)]
pub struct Conf<'a> {
    raw: NonNull<ngx_conf_t>,
    life: PhantomData<&'a ngx_conf_t>,
}

impl Conf<'_> {
    /// # Safety
    ///
    /// `cf` is the one that nginx handed to the running callback.
    pub unsafe fn from_raw<'a>(cf: *mut ngx_conf_t) -> Conf<'a> {
        // SAFETY: nginx never hands over a null configuration.
        Conf { raw: unsafe { NonNull::new_unchecked(cf) }, life: PhantomData }
    }

    /// nginx's own structure.
    pub fn as_ptr(&self) -> *mut ngx_conf_t {
        self.raw.as_ptr()
    }

    /// The cycle that is being set up.
    pub fn cycle(&self) -> *mut ngx_cycle_t {
        // SAFETY: valid while the callback runs.
        unsafe { self.raw.as_ref() }.cycle
    }

    /// The `index`th word of the directive; 0 is its name. Empty where there is none.
    pub fn word(&self, index: usize) -> String {
        String::from_utf8_lossy(self.raw_word(index).as_bytes()).into_owned()
    }

    /// The first argument as text.
    pub fn utf8(&self, expected: &str) -> Result<String, Mistake> {
        let word = self.raw_word(1);
        let text = std::str::from_utf8(word.as_bytes());
        text.map(str::to_owned).map_err(|_| self.value(1, &format!("{expected} in UTF-8")))
    }

    /// How many words there are, the name included.
    pub fn words(&self) -> usize {
        // SAFETY: nginx keeps the directive's words in `args` while its handler runs.
        unsafe { (*self.raw.as_ref().args).nelts }
    }

    /// The first argument as a path; a relative one starts where nginx.conf lies.
    pub fn path(&self) -> Result<PathBuf, Mistake> {
        let mut name = self.raw_word(1);
        if name.is_empty() {
            return Err(self.value(1, "the path of a file"));
        }
        // SAFETY: the cycle is the one being set up; `name` is a NUL-terminated configuration word.
        let rc = unsafe { ngx_conf_full_name(self.cycle(), &raw mut name, 1) };
        if rc != super::module::OK {
            return Err(Mistake::Nginx);
        }
        Ok(PathBuf::from(OsStr::from_bytes(name.as_bytes())))
    }

    /// The first argument as a size in bytes.
    pub fn size(&self, expected: &str) -> Result<usize, Mistake> {
        let mut word = self.raw_word(1);
        // SAFETY: `word` is a configuration word.
        let size = unsafe { ngx_parse_size(&raw mut word) };
        usize::try_from(size).map_err(|_| self.value(1, expected))
    }

    /// The first argument as a time.
    pub fn time(&self, expected: &str) -> Result<Duration, Mistake> {
        let mut word = self.raw_word(1);
        // SAFETY: `word` is a configuration word.
        let ms = unsafe { ngx_parse_time(&raw mut word, 0) };
        if word.is_empty() {
            return Err(self.value(1, expected));
        }
        u64::try_from(ms).map(Duration::from_millis).map_err(|_| self.value(1, expected))
    }

    /// The first argument as a time in whole seconds.
    pub fn seconds(&self, expected: &str) -> Result<u32, Mistake> {
        let mut word = self.raw_word(1);
        // SAFETY: `word` is a configuration word.
        let seconds = unsafe { ngx_parse_time(&raw mut word, 1) };
        if word.is_empty() {
            return Err(self.value(1, expected));
        }
        u32::try_from(seconds).map_err(|_| self.value(1, expected))
    }

    /// The first argument as a flag.
    pub fn flag(&self) -> Result<bool, Mistake> {
        match self.word(1).as_str() {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(self.value(1, "\"on\" or \"off\"")),
        }
    }

    /// The mistake of a word that is not what was `expected`.
    pub fn value(&self, index: usize, expected: &str) -> Mistake {
        Mistake::Value { value: self.word(index), expected: expected.to_owned() }
    }

    /// Where the directive stands, as `FILE:LINE`.
    pub fn place(&self) -> String {
        // SAFETY: `conf_file` is set while directives are read.
        let (name, line) = unsafe {
            let file = self.raw.as_ref().conf_file;
            (&(*file).file.name, (*file).line)
        };
        format!("{name}:{line}")
    }

    /// Logs that the configuration is unusable, with file and line; what the callback answers then.
    pub fn emerg(&self, line: &str) -> *mut c_char {
        ngx::ngx_conf_log_error!(NGX_LOG_EMERG, self.as_ptr(), "{line}");
        CONF_ERROR
    }

    /// Puts a value into the configuration's pool, which drops it with the cycle; null if there is
    /// no memory.
    pub fn allocate<T>(&self, value: T) -> *mut T {
        // SAFETY: the pool of the cycle being set up.
        unsafe { Pool::from_ngx_pool(self.raw.as_ref().pool) }.allocate(value)
    }

    pub(super) fn raw_word(&self, index: usize) -> ngx_str_t {
        if index >= self.words() {
            return ngx_str_t::default();
        }
        // SAFETY: `args` is an array of that many words.
        unsafe { (*self.raw.as_ref().args).as_slice::<ngx_str_t>()[index] }
    }
}

/// Sets a value that may stand once a block.
pub fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Mistake> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Mistake::Duplicate),
    }
}

/// The main-context configuration of a core module in a cycle, if there is one.
///
/// # Safety
///
/// `cycle` is null or valid, `module` is a core module whose `create_conf` made a `T`, and the
/// result is not used beyond the cycle.
pub unsafe fn core_conf<'a, T>(
    cycle: *const ngx_cycle_t,
    module: *const ngx_module_t,
) -> Option<&'a T> {
    // SAFETY: as promised by the caller; `conf_ctx` has a place for every module's index.
    unsafe {
        let contexts = cycle.as_ref()?.conf_ctx;
        if contexts.is_null() {
            return None;
        }
        contexts.add((*module).index).read().cast::<T>().as_ref()
    }
}
