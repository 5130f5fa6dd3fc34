//! nginx-rtmp's reader (ngx_rtmp_amf.c), recursion and all, as far as it moves through a message:
//! `ngx_rtmp_amf_read` without anything to keep.

use super::{Danger, MAX_DEPTH};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Error {
    /// The message ends.
    End,
    /// So it does, and an array has elements to come.
    Due,
    /// A string or key is longer than the message.
    Length,
    /// A marker that it does not know, or no end where one should be.
    Foreign,
    /// The C would go on; a test cannot.
    Depth,
}

/// What is to be said of a message of data, by what nginx-rtmp would do with all of its values.
pub(super) fn check(bytes: &[u8]) -> Result<(), Danger> {
    let mut reader = Reader { bytes, at: 0 };
    let error = loop {
        if let Err(error) = reader.value(0) {
            break error;
        }
    };
    match error {
        Error::End | Error::Foreign => Ok(()),
        Error::Due => Err(Danger::Count),
        Error::Length => Err(Danger::Length),
        Error::Depth => Err(Danger::Depth),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// `ngx_rtmp_amf_get`: nothing is taken where not all of it is there.
    fn get(&mut self, len: usize) -> Option<&[u8]> {
        let bytes = self.bytes.get(self.at..self.at + len)?;
        self.at += len;
        Some(bytes)
    }

    fn value(&mut self, depth: usize) -> Result<(), Error> {
        let marker = self.get(1).ok_or(Error::End)?[0];
        match marker {
            0x00 => self.get(8).map(|_| ()).ok_or(Error::End),
            0x01 => self.get(1).map(|_| ()).ok_or(Error::End),
            0x02 => {
                let len = self.length().ok_or(Error::End)?;
                self.get(len).map(|_| ()).ok_or(Error::Length)
            }
            0x05 | 0x06 | 0x09 => Ok(()),
            0x08 => {
                self.get(4).ok_or(Error::End)?;
                self.object(depth)
            }
            0x03 => self.object(depth),
            0x0a => self.array(depth),
            _ => Err(Error::Foreign),
        }
    }

    fn length(&mut self) -> Option<usize> {
        let bytes = self.get(2)?;
        Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    }

    fn object(&mut self, depth: usize) -> Result<(), Error> {
        let depth = deeper(depth)?;
        loop {
            match self.length() {
                None => return Ok(()), // "Envivio sends unfinalized arrays"
                Some(0) => break,
                Some(len) => self.get(len).map(|_| ()).ok_or(Error::Length)?,
            }
            self.value(depth)?;
        }
        match self.get(1) {
            None => Err(Error::End),
            Some([0x09]) => Ok(()),
            Some(_) => Err(Error::Foreign),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Error> {
        let count = self.get(4).ok_or(Error::End)?;
        let count = u32::from_be_bytes([count[0], count[1], count[2], count[3]]);
        let depth = deeper(depth)?;
        for element in 1..=count {
            let at = self.at;
            self.value(depth).map_err(|error| match error {
                Error::End if element < count || at == self.bytes.len() => Error::Due,
                error => error,
            })?;
        }
        Ok(())
    }
}

fn deeper(depth: usize) -> Result<usize, Error> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(Error::Depth) }
}
