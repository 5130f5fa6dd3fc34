//! What is compared: nginx in each of the arrangements, started here, with a directory, a database
//! and ports of its own.

pub mod database;
mod gunicorn;
mod nginx;

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::bench::{Bench, Result};
use crate::process::Daemon;
use database::{Schema, key};

/// How a publish is authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// Not at all.
    Stock,
    /// nginx asks itself: the fastest callback there can be.
    Redirect,
    /// nginx asks a web application.
    Django,
    /// Stagedoor with its own database.
    Native,
    /// Stagedoor with the web application's.
    Foreign,
}

impl Arrangement {
    pub const ALL: [Self; 5] =
        [Self::Stock, Self::Redirect, Self::Django, Self::Native, Self::Foreign];

    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "no authorization",
            Self::Redirect => "callback to nginx",
            Self::Django => "callback to Django",
            Self::Native => "Stagedoor",
            Self::Foreign => "Stagedoor, Django's schema",
        }
    }

    fn schema(self) -> Option<Schema> {
        match self {
            Self::Stock | Self::Redirect => None,
            Self::Native => Some(Schema::Native),
            Self::Django | Self::Foreign => Some(Schema::Django),
        }
    }

    pub fn has_stagedoor(self) -> bool {
        matches!(self, Self::Native | Self::Foreign)
    }
}

/// What a peer is started with beyond its arrangement.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// How many streamers its database has.
    pub streamers: usize,
    /// A database that is there already.
    pub database: Option<PathBuf>,
    /// Lines for the main context, where there is Stagedoor.
    pub main: String,
    /// Lines for the application, where there is Stagedoor.
    pub application: String,
    /// Locations, in which `DIR` stands for the peer's directory.
    pub locations: String,
    /// Which address to listen on; loopback unless told.
    pub address: Option<Ipv4Addr>,
    /// The network namespace to run in.
    pub namespace: Option<String>,
}

/// A running server.
#[derive(Debug)]
pub struct Peer {
    pub arrangement: Arrangement,
    pub rtmp: SocketAddr,
    pub http: SocketAddr,
    streamers: usize,
    nginx: Daemon,
    _gunicorn: Option<Daemon>,
    dir: TempDir,
}

impl Peer {
    /// Starts a server and waits until it listens.
    pub fn start(bench: &Bench, arrangement: Arrangement, setup: &Setup) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("stagedoor-bench-").tempdir()?;
        let address = setup.address.unwrap_or(Ipv4Addr::LOCALHOST);
        let [rtmp, http, site] = nginx::free_ports()?.map(|port| SocketAddr::from((address, port)));

        let path = dir.path().join("streamers.db");
        let database = setup.database.clone().unwrap_or_else(|| path.clone());
        if let (Some(schema), None) = (arrangement.schema(), &setup.database) {
            database::create(bench, schema, &path, setup.streamers)?;
        }
        let gunicorn = match arrangement {
            Arrangement::Django => Some(gunicorn::start(bench, dir.path(), &path, site)?),
            _ => None,
        };
        let text =
            configuration(bench, arrangement, setup, dir.path(), &database, [rtmp, http, site])?;
        fs::write(dir.path().join("nginx.conf"), text)?;
        let nginx = nginx::start(dir.path(), setup.namespace.as_deref())?;
        let streamers = setup.streamers;
        let mut peer = Self { arrangement, rtmp, http, streamers, nginx, _gunicorn: gunicorn, dir };
        nginx::wait(&mut peer.nginx, dir_of(&peer.dir))?;
        Ok(peer)
    }

    pub fn dir(&self) -> &Path {
        dir_of(&self.dir)
    }

    pub fn database(&self) -> PathBuf {
        self.dir().join("streamers.db")
    }

    /// The key of one of the streamers, counted round.
    pub fn key(&self, index: usize) -> String {
        key(index % self.streamers.max(1))
    }

    /// The name under which that streamer's stream is played.
    pub fn name(&self, index: usize) -> String {
        match self.arrangement {
            Arrangement::Stock => self.key(index),
            Arrangement::Redirect => format!("u-{}", self.key(index)),
            _ => database::username(index % self.streamers.max(1)),
        }
    }

    /// The worker process.
    pub fn worker(&self) -> Result<u32> {
        nginx::worker(self.nginx.id())
    }

    /// The log, for what a failure has to say.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("error.log")).unwrap_or_default()
    }
}

fn dir_of(dir: &TempDir) -> &Path {
    dir.path()
}

/// One worker, because nginx-rtmp knows who is live in one worker only. Logs are as quiet in each
/// arrangement: what is refused is logged, what is accepted is not.
fn configuration(
    bench: &Bench,
    arrangement: Arrangement,
    setup: &Setup,
    dir: &Path,
    database: &Path,
    [rtmp, http, site]: [SocketAddr; 3],
) -> Result<String> {
    let mut main = String::new();
    let mut application = "live on;".to_owned();
    if arrangement.has_stagedoor() {
        let module = bench.objs("ngx_stagedoor_module.so");
        writeln!(main, "load_module {};", module.display())?;
        writeln!(main, "stagedoor_db {};\n{}", database.display(), setup.main)?;
        writeln!(application, "\nstagedoor on;\n{}", setup.application)?;
    }
    match arrangement {
        Arrangement::Stock | Arrangement::Native => (),
        Arrangement::Foreign => main.push_str(&database::statements(bench)?),
        Arrangement::Redirect => {
            writeln!(application, "on_publish http://{http}/on_publish;\nnotify_method get;")?;
        }
        Arrangement::Django => {
            writeln!(application, "on_publish http://{site}/on_publish;")?;
            writeln!(application, "on_publish_done http://{site}/on_publish_done;")?;
        }
    }
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let dir_text = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {dir_text}/{kind};\n"))
        .collect();
    Ok(format!(
        "load_module {modules}/ngx_rtmp_module.so;
{main}
{user}
daemon off;
worker_processes 1;
{affinity}
worker_rlimit_nofile 20000;
pid {dir_text}/nginx.pid;
error_log {dir_text}/error.log warn;
events {{ worker_connections 16384; }}
rtmp {{
    access_log off;
    server {{
        listen {rtmp};
        application live {{
            {application}
        }}
    }}
}}
http {{
    access_log off;
    {temporary}
    server {{
        listen {http} backlog=4096;
        keepalive_requests 1000000000;
        location = /ping {{ return 204; }}
        location = /on_publish {{ return 302 u-$arg_name; }}
        {locations}
    }}
}}
",
        modules = crate::bench::nginx_modules(),
        affinity = bench.processors.nginx_conf(),
        locations = setup.locations.replace("DIR", &dir_text.to_string()),
    ))
}
