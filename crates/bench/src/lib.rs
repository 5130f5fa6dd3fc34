//! Stagedoor and what it is used instead of, measured side by side on the user's own machine.
//!
//! `make bench` runs the [works](work::ALL), each against the [peers](peer) that matter to it,
//! which it starts by itself. Runs are interleaved: peer by peer within a round, round after
//! round, so that what slows the machine down for a while slows everybody. What comes out is
//! docs/benchmarks.md with its charts and raw figures.

pub mod bench;
pub mod beyond;
pub mod chart;
pub mod crowd;
pub mod distance;
pub mod encoder;
pub mod machine;
pub mod outcome;
pub mod peer;
pub mod process;
pub mod processors;
pub mod report;
pub mod rtmp;
pub mod statistics;
mod sys;
pub mod wire;
pub mod work;
