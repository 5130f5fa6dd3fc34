//! The status as JSON (RFC 8259).

use std::fmt::{self, Display, Write};

use super::playlist::PlaylistUrl;
use super::{Growing, Status, utc};
use crate::registry::Listed;

/// The whole document, in one line.
pub(super) fn document(status: &Status, playlists: &PlaylistUrl) -> Option<String> {
    let mut out = Growing::default();
    write(&mut out, status, playlists).ok()?;
    Some(out.0)
}

fn write(out: &mut Growing, status: &Status, playlists: &PlaylistUrl) -> fmt::Result {
    let totals = &status.totals;
    let sum = |of: fn(&Listed) -> u64| status.streams.iter().map(of).sum::<u64>();
    write!(out, "{{\"now\":{},", Text(&utc(status.now)))?;
    write!(out, "\"live\":{},\"capacity\":{},", status.streams.len(), status.capacity)?;
    write!(out, "\"bitrate\":{},", sum(|stream| stream.figures.bitrate))?;
    let refused: u64 = totals.refused.iter().sum();
    write!(
        out,
        "\"publishes\":{{\"accepted\":{},\"refused\":{refused},\"withdrawn\":{}}},",
        totals.accepted, totals.withdrawn
    )?;
    write!(out, "\"refusals\":")?;
    counts(out, totals.refusals())?;
    write!(out, ",\"ends\":")?;
    counts(out, totals.ends())?;
    write!(
        out,
        ",\"store\":{{\"answers\":{},\"seconds\":{},\"errors\":{}}},",
        totals.answers.iter().sum::<u64>(),
        totals.answer_time.as_secs_f64(),
        totals.store_errors
    )?;
    write!(out, "\"messages_refused\":{},", totals.messages_refused)?;
    write!(out, "\"streams\":[")?;
    for (index, listed) in status.streams.iter().enumerate() {
        out.write_str(if index > 0 { ",\n" } else { "\n" })?;
        stream(out, status, listed, playlists)?;
    }
    out.write_str("]}\n")
}

fn counts(out: &mut Growing, counts: impl Iterator<Item = (impl AsRef<str>, u64)>) -> fmt::Result {
    out.write_char('{')?;
    for (index, (name, count)) in counts.enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}{}:{count}", Text(name.as_ref()))?;
    }
    out.write_char('}')
}

fn stream(
    out: &mut Growing,
    status: &Status,
    stream: &Listed,
    playlists: &PlaylistUrl,
) -> fmt::Result {
    let (app, username) = (stream.app.as_str(), stream.username.as_str());
    let figures = &stream.figures;
    let media = &figures.media;
    let size = media.size();
    write!(
        out,
        "{{\"username\":{},\"app\":{},\"client_addr\":{},\"worker\":{},\"started_at\":{},",
        Text(username),
        Text(app),
        Text(stream.client_addr.as_str()),
        stream.worker,
        Text(&utc(stream.started_at))
    )?;
    write!(
        out,
        "\"seconds\":{},\"bytes_in\":{},\"bitrate\":{},\"video_codec\":{},\"audio_codec\":{},",
        status.seconds(stream),
        figures.bytes_in,
        figures.bitrate,
        OrNull(media.video_codec().map(Text)),
        OrNull(media.audio_codec().map(Text))
    )?;
    write!(
        out,
        "\"width\":{},\"height\":{},\"frame_rate\":{},\"playlist\":{}}}",
        OrNull(size.map(|(width, _)| width)),
        OrNull(size.map(|(_, height)| height)),
        OrNull(media.frame_rate()),
        OrNull(playlists.of(app, username).as_deref().map(Text))
    )
}

struct OrNull<T>(Option<T>);

impl<T: Display> Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// A string (RFC 8259, section 7). Besides what has to be, everything that means something to HTML
/// is escaped, so that the document can stand inside a page's `<script>`, and so are the line ends
/// that older JavaScript has beyond JSON's.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => {
                    write!(f, "\\u{:04x}", u32::from(c))?;
                }
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
