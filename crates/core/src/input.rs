//! A message as nginx-rtmp keeps it: a chain of buffers, read in order without copying it together.

/// The message ends before what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End;

/// The bytes of a message, however they are cut.
pub(crate) struct Input<'a, I> {
    current: &'a [u8],
    chunks: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Input<'a, I> {
    pub(crate) fn new(chunks: I) -> Self {
        Input { current: &[], chunks }
    }

    /// Skips the first byte, if the first buffer has one: nginx-rtmp looks no further for the byte
    /// in front of AMF3 messages (ngx_rtmp_receive.c, ngx_rtmp_amf_message_handler).
    pub(crate) fn skip_prefix(&mut self) {
        self.current = self.chunks.next().unwrap_or_default();
        self.current = self.current.get(1..).unwrap_or_default();
    }

    /// The next run of bytes, at most `limit` of them, never empty.
    pub(crate) fn run(&mut self, limit: usize) -> Result<&'a [u8], End> {
        while self.current.is_empty() {
            self.current = self.chunks.next().ok_or(End)?;
        }
        let (run, rest) = self.current.split_at(limit.min(self.current.len()));
        self.current = rest;
        Ok(run)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, End> {
        Ok(self.run(1)?[0])
    }

    /// A number of `N` bytes, the highest first.
    pub(crate) fn number<const N: usize>(&mut self) -> Result<usize, End> {
        let mut number = 0;
        for _ in 0..N {
            number = number << 8 | usize::from(self.byte()?);
        }
        Ok(number)
    }

    pub(crate) fn skip(&mut self, mut count: usize) -> Result<(), End> {
        while count > 0 {
            count -= self.run(count)?.len();
        }
        Ok(())
    }

    /// Reads so many bytes; keeps what fits of them.
    pub(crate) fn keep(&mut self, len: usize, kept: &mut [u8]) -> Result<(), End> {
        let mut at = 0;
        while at < len {
            let run = self.run(len - at)?;
            if let Some(free) = kept.get_mut(at..) {
                let fits = run.len().min(free.len());
                free[..fits].copy_from_slice(&run[..fits]);
            }
            at += run.len();
        }
        Ok(())
    }
}
