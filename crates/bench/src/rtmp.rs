//! The client's side of RTMP, as much of it as publishing and playing needs.
//!
//! Of our own, because what is measured is in the tens of microseconds: nothing is allocated for a
//! chunk, nothing is locked, and nothing is sent that was not asked for. Each layer stands alone
//! and can be fed with anything: [`handshake`], [`chunk`], [`amf`], [`command`]. [`session`] puts
//! them together without a socket; [`client`] adds a blocking one.
//!
//! Section numbers are those of Adobe's specification of RTMP 1.0.

pub mod amf;
pub mod chunk;
pub mod client;
pub mod command;
pub mod handshake;
pub mod session;
