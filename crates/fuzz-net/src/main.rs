//! Throws sessions at an RTMP server, and says what became of them.
//!
//! ```text
//!  fuzz/sessions/*.bin ──▶ recording.rs   what encoders and a player have sent, as themselves
//!                              │          or with another key
//!            malformed.rs ◀────┼────▶ mutated.rs   one by its number each: the same ones each time
//!            orders.rs         │          random.rs
//!            headers.rs        ▼
//!                          session.rs     what is sent, in which pieces, and how it ends
//!                              │
//!                              ▼
//!                          thrower.rs     many at a time, each to the server's end of it
//! ```
//!
//! Who runs it looks after the server: `t/fuzz/sessions.t`.

mod arguments;
mod headers;
mod malformed;
mod mutated;
mod orders;
mod random;
mod recording;
mod session;
mod thrower;

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use arguments::{Arguments, Command};
use malformed::Malformed;
use mutated::Mutated;
use recording::Recording;
use thrower::Thrower;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stagedoor-fuzz-net: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Arguments { command, sessions, target, range, step, keys } =
        Arguments::read(std::env::args())?;
    let recordings = Recording::all(&sessions)?;
    let thrower = Thrower { target, step, keys };
    let tally = match command {
        Command::Seeds(dir) => {
            for (name, bytes) in recordings.iter().flat_map(recording::seeds) {
                let path = dir.join(name);
                fs::create_dir_all(path.parent().unwrap_or(&dir))?;
                fs::write(path, bytes)?;
            }
            return Ok(());
        }
        Command::Malformed => {
            let malformed = Malformed::new(&recordings);
            let range = range.start..range.end.min(malformed.len());
            thrower.throw(range, |number, disguise| malformed.session(number, disguise))
        }
        Command::Mutated { seed } => {
            let mutated = Mutated::new(recordings, seed);
            thrower.throw(range, |number, disguise| mutated.session(number, disguise))
        }
    };
    println!("{tally}");
    Ok(())
}
