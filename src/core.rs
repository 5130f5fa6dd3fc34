//! What belongs to the server as a whole: `stagedoor_db`, `stagedoor_zone`, `stagedoor_timeout`, the
//! operator's own statements ([`statements`]), and each worker's start and end.

mod statements;

use std::cell::{Cell, OnceCell};
use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nginx_sys::{
    NGX_CONF_TAKE1, NGX_CORE_MODULE, NGX_DIRECT_CONF, NGX_MAIN_CONF, ngx_command_t,
    ngx_core_module_t, ngx_cycle, ngx_cycle_t, ngx_int_t, ngx_module_t,
};
use ngx::core::Pool;
use stagedoor_core::store::{self, CheckError, Layout};

use crate::ffi::conf::{self, Conf, Directive, Mistake, command, once};
use crate::ffi::guard::{contain, guard};
use crate::ffi::listening;
use crate::ffi::log::Log;
use crate::ffi::module::{CONF_ERROR, CONF_OK, NO_COMMAND, OK, module, text};
use crate::ffi::process;
use crate::ffi::zone::Zone;
use crate::worker;

use statements::{OnBoot, OnStart, OnStop, Query, StatementsConf};

/// Room for more than three thousand live streams.
const DEFAULT_ZONE_SIZE: usize = 1 << 20;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// The configuration of the main context.
#[derive(Debug, Default)]
pub struct CoreConf {
    db: Option<PathBuf>,
    zone_size: Option<usize>,
    zone: Cell<Option<Zone>>,
    timeout: Option<Duration>,
    statements: StatementsConf,
    /// Where the first `stagedoor on` stands.
    needed_at: OnceCell<String>,
    /// What of `http {}` first needed the live registry.
    registry_needed_by: OnceCell<String>,
    /// The server is starting, not reloading.
    is_first_cycle: bool,
}

impl CoreConf {
    /// The configuration of the cycle that is being set up.
    pub fn of<'a>(cf: &'a Conf<'_>) -> Option<&'a CoreConf> {
        // SAFETY: `create_conf` made it; it lives as long as the cycle.
        unsafe { conf::core_conf(cf.cycle(), &raw const ngx_stagedoor_module) }
    }

    /// The configuration that this worker runs with.
    pub fn current<'a>() -> Option<&'a CoreConf> {
        // SAFETY: as above; a worker keeps its cycle.
        unsafe { conf::core_conf(ngx_cycle, &raw const ngx_stagedoor_module) }
    }

    /// Says that publishing needs a key in some application, so that the database and the zone
    /// are needed.
    ///
    /// # Errors
    ///
    /// [`Mistake::Nginx`] when nginx refuses the zone; it has said why.
    pub fn need(cf: &Conf<'_>) -> Result<(), Mistake> {
        let zone = Zone::add(cf, 0, &raw mut ngx_stagedoor_module)?;
        let conf = CoreConf::of(cf).ok_or(Mistake::Nginx)?;
        conf.zone.set(Some(zone));
        conf.needed_at.get_or_init(|| cf.place());
        Ok(())
    }

    /// Says that something of `http {}` needs the live registry. Whether there is one is known only
    /// when all of the configuration was read.
    pub fn need_registry(cf: &Conf<'_>, what: impl FnOnce() -> String) {
        if let Some(conf) = CoreConf::of(cf) {
            conf.registry_needed_by.get_or_init(what);
        }
    }

    /// Whether publishing needs a key in some application.
    pub fn is_needed(&self) -> bool {
        self.needed_at.get().is_some()
    }

    /// How long a store may take to answer a key.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(DEFAULT_TIMEOUT)
    }

    /// The zone of the live registry, where it is needed.
    pub fn zone(&self) -> Option<Zone> {
        self.zone.get()
    }

    /// The database, where it is needed.
    pub fn db(&self) -> Option<&PathBuf> {
        self.db.as_ref()
    }

    /// Whose tables the database holds.
    pub fn layout(&self) -> Layout {
        self.statements.layout().unwrap_or(Layout::Native) // `check` let no other pass
    }

    /// Whether the database is asked for the keys themselves, not for their digests alone.
    pub fn asks_for_keys(&self) -> bool {
        self.statements.has_query()
    }

    /// Whether the server has just started, as opposed to a reload.
    pub fn is_first_cycle(&self) -> bool {
        self.is_first_cycle
    }
}

/// The core module, known to nginx by this name.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static mut ngx_stagedoor_module: ngx_module_t = ngx_module_t {
    init_process: Some(init_process),
    exit_process: Some(exit_process),
    ..module(NGX_CORE_MODULE, (&raw mut CONTEXT).cast(), (&raw mut COMMANDS).cast())
};

static mut CONTEXT: ngx_core_module_t = ngx_core_module_t {
    name: text(c"stagedoor"),
    create_conf: Some(create_conf),
    init_conf: Some(init_conf),
};

static mut COMMANDS: [ngx_command_t; 8] = [
    command::<Db>(0),
    command::<ZoneSize>(0),
    command::<Timeout>(0),
    command::<Query>(0),
    command::<OnStart>(0),
    command::<OnStop>(0),
    command::<OnBoot>(0),
    NO_COMMAND,
];

struct Db;

impl Directive for Db {
    type Conf = CoreConf;
    const NAME: &'static CStr = c"stagedoor_db";
    const KIND: u32 = NGX_MAIN_CONF | NGX_DIRECT_CONF | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut CoreConf) -> Result<(), Mistake> {
        once(&mut conf.db, cf.path()?)?;
        // Also where nothing is on: a reload that turns it off must not forget who is live.
        conf.zone.set(Some(Zone::add(cf, 0, &raw mut ngx_stagedoor_module)?));
        Ok(())
    }
}

struct ZoneSize;

impl Directive for ZoneSize {
    type Conf = CoreConf;
    const NAME: &'static CStr = c"stagedoor_zone";
    const KIND: u32 = NGX_MAIN_CONF | NGX_DIRECT_CONF | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut CoreConf) -> Result<(), Mistake> {
        let least = Zone::least();
        let expected = format!("a size such as \"1m\", at least {}k", least / 1024);
        let size = cf.size(&expected)?;
        if size < least {
            return Err(cf.value(1, &expected));
        }
        once(&mut conf.zone_size, size)?;
        conf.zone.set(Some(Zone::add(cf, size, &raw mut ngx_stagedoor_module)?));
        Ok(())
    }
}

struct Timeout;

impl Directive for Timeout {
    type Conf = CoreConf;
    const NAME: &'static CStr = c"stagedoor_timeout";
    const KIND: u32 = NGX_MAIN_CONF | NGX_DIRECT_CONF | NGX_CONF_TAKE1;

    fn set(cf: &Conf<'_>, conf: &mut CoreConf) -> Result<(), Mistake> {
        let expected = "a time of more than nothing such as \"2s\" or \"500ms\"";
        let timeout = cf.time(expected)?;
        if timeout.is_zero() {
            return Err(cf.value(1, expected));
        }
        once(&mut conf.timeout, timeout)
    }
}

unsafe extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx hands the process's own cycle over.
    unsafe { listening::part_copies(cycle) };
    // A worker that cannot start its store still serves HLS, and refuses publishes.
    let Some(conf) = CoreConf::current().filter(|conf| conf.is_needed()) else { return OK };
    let has_started = guard("a worker's start", false, || {
        if process::is_worker() {
            worker::start(conf);
        }
        true
    });
    if !has_started {
        contain("a worker's start", (), worker::start_later);
    }
    OK
}

unsafe extern "C" fn exit_process(_cycle: *mut ngx_cycle_t) {
    guard("a worker's end", (), worker::stop);
}

unsafe extern "C" fn create_conf(cycle: *mut ngx_cycle_t) -> *mut c_void {
    #[cfg(feature = "test-hooks")]
    crate::ffi::hook::install();
    guard("the main configuration", std::ptr::null_mut(), || {
        // SAFETY: the cycle is the one being set up.
        let (pool, is_first) = unsafe {
            (Pool::from_ngx_pool((*cycle).pool), (*(*cycle).old_cycle).conf_ctx.is_null())
        };
        // A binary upgrade hands its sockets on in this variable (nginx.c): then the old server's
        // streams are still live.
        let is_first_cycle = is_first && std::env::var_os("NGINX").is_none();
        pool.allocate(CoreConf { is_first_cycle, ..CoreConf::default() }).cast::<c_void>()
    })
}

unsafe extern "C" fn init_conf(cycle: *mut ngx_cycle_t, conf: *mut c_void) -> *mut c_char {
    guard("the main configuration", CONF_ERROR, || {
        // SAFETY: `create_conf` made it, and nginx hands it over alone.
        let conf = unsafe { &*conf.cast::<CoreConf>() };
        // SAFETY: the log of the cycle that is being set up.
        let log = unsafe { Log::from_raw((*cycle).log) };
        if check(conf, log).is_err() {
            return CONF_ERROR;
        }
        if conf.is_needed() {
            // SAFETY: nginx opens its sockets behind this.
            unsafe { listening::widen_backlog(cycle) };
        }
        CONF_OK
    })
}

/// What can be told once the whole file was read. A directive that is missing is an error; a
/// database that is not right can be mended while the server runs.
fn check(conf: &CoreConf, log: Log) -> Result<(), ()> {
    match (conf.zone(), conf.registry_needed_by.get()) {
        (Some(zone), _) => zone.default_size(DEFAULT_ZONE_SIZE),
        (None, Some(what)) => {
            log.emerg(format_args!(
                "{what} needs the list of live streams, and this server has none; add \"stagedoor \
                 on\" to an application of rtmp {{}}, or \"stagedoor_zone SIZE\" to the main context"
            ));
            return Err(());
        }
        (None, None) => {}
    }
    let layout = conf.statements.layout().map_err(|statement| {
        log.emerg(format_args!("{}", statement.lacks_query()));
    })?;
    match (&conf.db, conf.needed_at.get(), &layout) {
        (Some(db), Some(_), _) | (Some(db), None, Layout::Foreign(_)) => {
            check_database(db, &layout, conf.is_needed(), log)
        }
        (None, Some(place), _) => {
            log.emerg(format_args!(
                "\"stagedoor on\" in {place} needs a database; add \"stagedoor_db PATH;\" to the main \
                 context"
            ));
            Err(())
        }
        _ => Ok(()),
    }
}

fn check_database(db: &Path, layout: &Layout, is_needed: bool, log: Log) -> Result<(), ()> {
    match store::check(db, layout) {
        Ok(advice) => {
            for advice in advice {
                log.warn(format_args!("{advice}"));
            }
        }
        Err(CheckError::Statement(error)) => {
            log.emerg(format_args!("{error}"));
            return Err(());
        }
        Err(CheckError::Store(error)) if is_needed => {
            log.warn(format_args!("stagedoor refuses every publish for now: {error}"));
        }
        Err(CheckError::Store(_)) => {}
    }
    Ok(())
}
