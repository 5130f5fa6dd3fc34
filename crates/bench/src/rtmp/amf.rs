//! AMF0, written and read (Action Message Format, version 0).

/// What commands are made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Boolean(bool),
    String(String),
    Object(Vec<(String, Value)>),
    Null,
    Undefined,
}

const NUMBER: u8 = 0;
const BOOLEAN: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 3;
const NULL: u8 = 5;
const UNDEFINED: u8 = 6;
const ECMA_ARRAY: u8 = 8;
const OBJECT_END: [u8; 3] = [0, 0, 9];

/// How deep an answer's objects may lie in each other; nginx-rtmp's are flat.
const DEEPEST: usize = 8;

/// Appends a number.
pub fn number(out: &mut Vec<u8>, value: f64) {
    out.push(NUMBER);
    out.extend(value.to_be_bytes());
}

/// Appends a text; what is beyond 65,535 bytes is left out.
pub fn string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(STRING);
    name(out, value);
}

/// Appends a null.
pub fn null(out: &mut Vec<u8>) {
    out.push(NULL);
}

/// Appends an object of texts.
pub fn object(out: &mut Vec<u8>, fields: &[(&str, &str)]) {
    out.push(OBJECT);
    for (field, value) in fields {
        name(out, field.as_bytes());
        string(out, value.as_bytes());
    }
    out.extend(OBJECT_END);
}

fn name(out: &mut Vec<u8>, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
}

/// All values of a message; those in front of the first that cannot be read.
pub fn read_all(mut bytes: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    while let Some(value) = read(&mut bytes, DEEPEST) {
        values.push(value);
    }
    values
}

fn read(bytes: &mut &[u8], deeper: usize) -> Option<Value> {
    let kind = take(bytes, 1)?[0];
    Some(match kind {
        NUMBER => Value::Number(f64::from_be_bytes(take(bytes, 8)?.try_into().ok()?)),
        BOOLEAN => Value::Boolean(take(bytes, 1)?[0] != 0),
        STRING => Value::String(read_name(bytes)?),
        OBJECT => read_fields(bytes, deeper)?,
        ECMA_ARRAY => {
            take(bytes, 4)?;
            read_fields(bytes, deeper)?
        }
        NULL => Value::Null,
        UNDEFINED => Value::Undefined,
        _ => return None,
    })
}

fn read_fields(bytes: &mut &[u8], deeper: usize) -> Option<Value> {
    let deeper = deeper.checked_sub(1)?;
    let mut fields = Vec::new();
    loop {
        if let Some(rest) = bytes.strip_prefix(&OBJECT_END) {
            *bytes = rest;
            return Some(Value::Object(fields));
        }
        fields.push((read_name(bytes)?, read(bytes, deeper)?));
    }
}

fn read_name(bytes: &mut &[u8]) -> Option<String> {
    let len = u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?);
    Some(String::from_utf8_lossy(take(bytes, usize::from(len))?).into_owned())
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        string(&mut bytes, b"connect");
        number(&mut bytes, 1.0);
        object(&mut bytes, &[("app", "live"), ("tcUrl", "rtmp://localhost/live")]);
        null(&mut bytes);
        let text = |text: &str| Value::String(text.to_owned());
        let object = Value::Object(vec![
            ("app".to_owned(), text("live")),
            ("tcUrl".to_owned(), text("rtmp://localhost/live")),
        ]);
        assert_eq!(read_all(&bytes), [text("connect"), Value::Number(1.0), object, Value::Null]);
    }

    #[test]
    fn what_is_cut_off_or_too_deep_ends_the_values() {
        let mut bytes = Vec::new();
        number(&mut bytes, 1.0);
        string(&mut bytes, b"cut");
        for len in 9..bytes.len() {
            assert_eq!(read_all(&bytes[..len]), [Value::Number(1.0)]);
        }
        let deep = [OBJECT, 0, 1, b'a'].repeat(100_000);
        assert_eq!(read_all(&deep), []);
    }
}
