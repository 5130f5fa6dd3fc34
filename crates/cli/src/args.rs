//! What may stand on the command line, and the help.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const DEFAULT_DB: &str = "/var/lib/stagedoor/stagedoor.db";

const ABOUT: &str = "Manage who may stream: streamers, their stream keys and their sessions.";

const EXAMPLES: &str = "\
Examples:
  stagedoor init                     create the database (once)
  stagedoor add benw                 add a streamer; prints the stream key
  stagedoor list                     who there is, and who is live
  stagedoor ban benw                 keep benw out until \"stagedoor unban benw\"
  stagedoor --json list | jq -r '.[] | select(.is_live) | .username'

What the streamer enters in OBS, under Settings, Stream:
  Service      Custom...
  Server       rtmp://YOUR-SERVER/APPLICATION      (of nginx.conf, e.g. rtmp://example.org/live)
  Stream Key   the key that \"stagedoor add\" printed

On a terminal lists are tables; into a pipe they are lines of columns separated by tabs,
without a header. Times are UTC. Exit status: 0 done, 1 refused (the reason is on stderr), 2 wrong usage.";

#[derive(Debug, Parser)]
#[command(name = "stagedoor", version, about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The database, as in `stagedoor_db` of nginx.conf
    #[arg(long, global = true, value_name = "PATH")]
    #[arg(env = "STAGEDOOR_DB", default_value = DEFAULT_DB)]
    pub(crate) db: PathBuf,

    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the database, or bring it up to date
    ///
    /// What is in the database stays. A database that root creates in the directory of another
    /// user, such as nginx's www-data, belongs to that user, so that nginx can use it.
    Init,

    /// Add a streamer; prints the stream key, once
    ///
    /// The database holds a digest of the key only: a lost key cannot be shown again, but replaced
    /// with "stagedoor rotate".
    Add {
        /// 1 to 64 of A-Z a-z 0-9 _ . @ + -, not starting with "." or "-"; viewers see it
        username: String,
    },

    /// List the streamers: active?, live?, last stream
    List,

    /// Show one streamer, with the last sessions
    Show { username: String },

    /// Give a streamer a new key; prints it, once
    ///
    /// The old key stops working, and a live stream on it ends, within a second.
    Rotate { username: String },

    /// Keep a streamer from streaming; key and history stay
    ///
    /// A live stream ends within a second.
    Ban { username: String },

    /// Let a banned streamer stream again, with the same key
    Unban { username: String },

    /// End the live stream now; the key stays good
    ///
    /// Waits for the end of the stream. The encoder is told why; many come back by themselves, and
    /// may: to keep a streamer out, ban them.
    Kick { username: String },

    /// Remove a streamer and the history of their sessions
    ///
    /// A live stream ends within a second. Nothing of the streamer is left, client addresses
    /// included. To keep the history, ban the streamer instead.
    Remove { username: String },

    /// Show the history: start, end, why it ended, client address, duration
    Sessions {
        /// Of this streamer only
        username: Option<String>,

        /// Show that many sessions, the latest first
        #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
        limit: u32,
    },

    /// Take over streamers and keys from the database of another program
    ///
    /// FILE is an SQLite database. It is only read, and its program goes on meanwhile.
    /// The query returns one row for each streamer, with these columns:
    ///
    ///   username
    ///   key          the stream key, or
    ///   key_sha256   its SHA-256, as 32 bytes or 64 hex digits
    ///   is_active    0 or 1; without this column everybody is active
    ///
    /// For a Django application:
    ///
    ///   SELECT u.username, s.key, u.is_active FROM boltstream_stream s
    ///   JOIN auth_user u ON u.id = s.user_id
    ///
    /// New streamers are added. A key or flag that differs is replaced, which ends a
    /// live stream as "rotate" and "ban" do. Streamers whom the query does not return
    /// stay as they are. When one row cannot be imported, none is. They go to the
    /// database that --db names, which "stagedoor init" made.
    #[command(verbatim_doc_comment)]
    Import {
        /// The SELECT that returns the streamers
        #[arg(long, value_name = "SQL")]
        query: String,

        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,

        /// The database of the other program
        file: PathBuf,
    },

    /// Print the completions for a shell
    ///
    /// In bash, for this session: eval "$(stagedoor completions bash)"
    Completions { shell: Shell },

    /// Print the manual page
    ///
    /// To read it: stagedoor man | man -l -
    Man,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}
