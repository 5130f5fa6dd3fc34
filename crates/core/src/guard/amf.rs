//! AMF0, as nginx-rtmp reads it (ngx_rtmp_amf.c): commands, data and shared objects, and the same in
//! AMF3's clothes.
//!
//! nginx-rtmp reads a message's name and hands what follows to the handler of that name, which reads
//! some values of it. Here all values are gone through, with the containers that are open on a stack
//! of [`MAX_DEPTH`] places. Every marker is worth the bytes that nginx-rtmp takes it for; at one that
//! nginx-rtmp does not know it stops reading, and so do we. An object that the message ends in is
//! complete: encoders send such, and nginx-rtmp takes them.

use super::{Danger, MAX_DEPTH};
use crate::input::{End, Input};

const AMF3_DATA: u8 = 15;
const AMF3_SHARED: u8 = 16;
const AMF3_COMMAND: u8 = 17;
const SHARED: u8 = 19;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0a;

/// What nginx-rtmp keeps of a name: its buffer of 128 bytes, less the NUL at the end.
const NAME: usize = 127;

/// What a session is to a message that comes on it.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// It is connected to an application, or is this server's own connection to another.
    pub has_application: bool,
    /// A `publish` goes to nginx-rtmp's handler, which logs what it says.
    pub publishes_by_nginx: bool,
}

/// Checks a message of type 15 to 20.
///
/// # Errors
///
/// [`Danger`] if nginx-rtmp should not read it.
pub fn amf<'a>(
    kind: u8,
    standing: Standing,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> Result<(), Danger> {
    let is_shared = matches!(kind, AMF3_SHARED | SHARED);
    let mut input = Input::new(chunks);
    if matches!(kind, AMF3_DATA | AMF3_SHARED | AMF3_COMMAND) {
        input.skip_prefix();
    }
    let mut values = Values {
        input,
        open: [Container::Object; MAX_DEPTH],
        depth: 0,
        logged: None,
        metadata: None,
    };
    match values.message(is_shared, standing) {
        Stop::Refused(Danger::Length | Danger::Count) if is_shared => Ok(()), // no AMF, but for its name
        Stop::Refused(danger) => Err(danger),
        Stop::End if values.has_elements_due() && !is_shared => Err(Danger::Count),
        Stop::End | Stop::Foreign => match values.metadata {
            Some(metadata) if !metadata.is_read() => Err(Danger::UnreadableMetadata),
            _ => Ok(()),
        },
    }
}

#[derive(Clone, Copy)]
enum Container {
    Object,
    /// And how many elements are still to come.
    Array(usize),
}

impl Container {
    fn is_due(&self) -> bool {
        matches!(self, Container::Array(1..))
    }
}

/// Why the reading is over.
enum Stop {
    /// The message is.
    End,
    /// nginx-rtmp does not know what stands there, and reads no further.
    Foreign,
    Refused(Danger),
}

impl From<End> for Stop {
    fn from(End: End) -> Stop {
        Stop::End
    }
}

impl From<Danger> for Stop {
    fn from(danger: Danger) -> Stop {
        Stop::Refused(danger)
    }
}

/// The texts that nginx-rtmp logs of a command.
struct Logged {
    command: &'static str,
    /// How deep they stand.
    depth: usize,
}

/// What of metadata nginx-rtmp has read: it wants one value, or a text and another
/// (ngx_rtmp_codec_module.c, ngx_rtmp_codec_meta_data).
#[derive(Default)]
struct Metadata {
    begun: usize,
    complete: usize,
    begins_with_text: bool,
}

impl Metadata {
    fn begins(&mut self, marker: u8) {
        self.begins_with_text |= self.begun == 0 && marker == STRING;
        self.begun += 1;
    }

    fn is_read(&self) -> bool {
        self.complete > usize::from(self.begins_with_text)
    }
}

struct Values<'a, I> {
    input: Input<'a, I>,
    open: [Container; MAX_DEPTH],
    depth: usize,
    logged: Option<Logged>,
    metadata: Option<Metadata>,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Values<'a, I> {
    fn message(&mut self, is_shared: bool, standing: Standing) -> Stop {
        match self.name(is_shared, standing) {
            Ok(mut marker) => loop {
                match self.value(marker.take()) {
                    Ok(next) => marker = next,
                    Err(stop) => return stop,
                }
                if self.depth == 0 {
                    self.completed();
                }
            },
            Err(stop) => stop,
        }
    }

    /// Reads the message's name. One that is no string is left to be read as a value: returns its
    /// marker.
    fn name(&mut self, is_shared: bool, standing: Standing) -> Result<Option<u8>, Stop> {
        if !is_shared {
            let marker = self.input.byte()?;
            if marker != STRING {
                return Ok(Some(marker));
            }
        }
        let mut name = [0; NAME];
        let len = self.input.number::<2>()?;
        self.input.keep(len, &mut name).map_err(|End| Danger::Length)?;
        let name = name[..len.min(NAME)].split(|&byte| byte == 0).next().unwrap_or_default();
        // nginx-rtmp looks names up in lower case.
        let is = |command: &str| name.eq_ignore_ascii_case(command.as_bytes());
        if is("onMetaData") || is("@setDataFrame") {
            if !standing.has_application {
                return Err(Danger::EarlyMetadata.into());
            }
            self.metadata = Some(Metadata::default());
        }
        if standing.has_application && is("connect") {
            return Err(Danger::Reconnection.into());
        }
        self.logged = [("connect", 1), ("publish", 0), ("play", 0), ("play2", 1)]
            .into_iter()
            .find(|&(command, _)| is(command))
            .filter(|&(command, _)| command != "publish" || standing.publishes_by_nginx)
            .map(|(command, depth)| Logged { command, depth });
        Ok(None)
    }

    /// Goes through one value, or opens or closes a container. Returns the marker of what comes next
    /// where that has been read already.
    fn value(&mut self, marker: Option<u8>) -> Result<Option<u8>, Stop> {
        let marker = match marker {
            Some(marker) => marker,
            None => match self.next()? {
                Next::Value => self.input.byte()?,
                Next::Marker(marker) => return Ok(Some(marker)),
                Next::Closed => return Ok(None),
            },
        };
        match (self.open[..self.depth].last_mut(), &mut self.metadata) {
            (Some(Container::Array(left)), _) => *left -= 1, // more than 0, or `next` had closed it
            (None, Some(metadata)) => metadata.begins(marker),
            _ => {}
        }
        match marker {
            NUMBER => self.input.skip(8)?,
            BOOLEAN => self.input.skip(1)?,
            STRING => self.string()?,
            NULL | UNDEFINED | OBJECT_END => {}
            OBJECT => self.open(Container::Object)?,
            ECMA_ARRAY => {
                self.input.skip(4)?; // a count that nobody reads, and encoders get wrong
                self.open(Container::Object)?;
            }
            STRICT_ARRAY => {
                let count = self.input.number::<4>()?;
                self.open(Container::Array(count))?;
            }
            _ => return Err(Stop::Foreign),
        }
        Ok(None)
    }

    /// What the container that is open has next.
    fn next(&mut self) -> Result<Next, Stop> {
        let Some(top) = self.depth.checked_sub(1) else { return Ok(Next::Value) };
        match &mut self.open[top] {
            Container::Array(0) => {
                self.depth = top;
                Ok(Next::Closed)
            }
            Container::Array(_) => Ok(Next::Value),
            Container::Object => self.key(),
        }
    }

    fn key(&mut self) -> Result<Next, Stop> {
        let Ok(high) = self.input.byte() else {
            self.completed(); // and all that it stands in
            return Err(Stop::End);
        };
        let Ok(low) = self.input.byte() else { return Ok(self.last_byte(high)) };
        match usize::from(u16::from_be_bytes([high, low])) {
            0 if self.input.byte()? == OBJECT_END => {
                self.depth -= 1;
                Ok(Next::Closed)
            }
            0 => Err(Stop::Foreign),
            len => {
                self.input.skip(len).map_err(|End| Danger::Length)?;
                Ok(Next::Value)
            }
        }
    }

    /// A single byte is left where a key should stand. To nginx-rtmp that is the end of the object,
    /// and the byte is the marker of what stands behind it.
    fn last_byte(&mut self, byte: u8) -> Next {
        let due = self.open[..self.depth].iter().rposition(Container::is_due);
        self.depth = due.map_or(0, |at| at + 1);
        Next::Marker(byte)
    }

    fn completed(&mut self) {
        if let Some(metadata) = &mut self.metadata {
            metadata.complete = metadata.begun;
        }
    }

    fn string(&mut self) -> Result<(), Stop> {
        let mut left = self.input.number::<2>()?;
        let mut logged = self.logged.as_ref().filter(|logged| logged.depth == self.depth);
        while left > 0 {
            let run = self.input.run(left).map_err(|End| Danger::Length)?;
            left -= run.len();
            if let Some(Logged { command, .. }) = logged {
                // To nginx-rtmp a text ends at the first NUL.
                match run.iter().find(|byte| byte.is_ascii_control()) {
                    Some(0) => logged = None,
                    Some(_) => return Err(Danger::ControlCharacter(command).into()),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, container: Container) -> Result<(), Stop> {
        *self.open.get_mut(self.depth).ok_or(Danger::Depth)? = container;
        self.depth += 1;
        Ok(())
    }

    fn has_elements_due(&self) -> bool {
        self.open[..self.depth].iter().any(Container::is_due)
    }
}

enum Next {
    Value,
    /// A value whose marker was read.
    Marker(u8),
    /// None: the container is complete.
    Closed,
}

#[cfg(test)]
mod tests;
