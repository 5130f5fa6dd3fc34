//! The commands of a publisher and a player (section 7.2), as payloads of AMF0 messages, and what
//! a server answers.

use super::amf::{self, Value};

/// `connect`. The answer is `_result` of transaction 1.
pub fn connect(app: &str, tc_url: &str) -> Vec<u8> {
    let mut payload = begin("connect", 1.0);
    let fields =
        [("app", app), ("type", "nonprivate"), ("flashVer", FLASH_VERSION), ("tcUrl", tc_url)];
    amf::object(&mut payload, &fields);
    payload
}

/// Who we say we are: nginx-rtmp takes what begins with FMLE for an encoder.
const FLASH_VERSION: &str = "FMLE/3.0 (compatible; stagedoor-bench)";

/// `createStream`. The answer is `_result` of that transaction, with the stream's id.
pub fn create_stream(transaction: f64) -> Vec<u8> {
    let mut payload = begin("createStream", transaction);
    amf::null(&mut payload);
    payload
}

/// `publish`. The answer is a status.
pub fn publish(transaction: f64, key: &[u8]) -> Vec<u8> {
    let mut payload = begin("publish", transaction);
    amf::null(&mut payload);
    amf::string(&mut payload, key);
    amf::string(&mut payload, b"live");
    payload
}

/// `play`. The answer is a status.
pub fn play(transaction: f64, name: &[u8]) -> Vec<u8> {
    let mut payload = begin("play", transaction);
    amf::null(&mut payload);
    amf::string(&mut payload, name);
    payload
}

/// `deleteStream`, which nothing answers.
pub fn delete_stream(transaction: f64, stream: u32) -> Vec<u8> {
    let mut payload = begin("deleteStream", transaction);
    amf::null(&mut payload);
    amf::number(&mut payload, f64::from(stream));
    payload
}

fn begin(name: &str, transaction: f64) -> Vec<u8> {
    let mut payload = Vec::with_capacity(256);
    amf::string(&mut payload, name.as_bytes());
    amf::number(&mut payload, transaction);
    payload
}

/// What a server says in a command message.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `_result` (of `createStream`: with the stream's id).
    Result { transaction: f64, stream: Option<u32> },
    /// `onStatus`.
    Status(Status),
    /// Anything else, by name: `_error`, `onBWDone` …
    Other(String),
}

/// What `onStatus` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub code: String,
    pub description: String,
}

impl Status {
    pub fn is_live(&self) -> bool {
        self.code == "NetStream.Publish.Start"
    }
}

/// Reads a command message's payload; none if it is no command.
pub fn answer(payload: &[u8]) -> Option<Answer> {
    let values = amf::read_all(payload);
    let (Value::String(name), &Value::Number(transaction)) = (values.first()?, values.get(1)?)
    else {
        return None;
    };
    Some(match (name.as_str(), values.get(3)) {
        ("_result", Some(&Value::Number(id))) => {
            Answer::Result { transaction, stream: Some(id as u32) }
        }
        ("_result", _) => Answer::Result { transaction, stream: None },
        ("onStatus", Some(Value::Object(fields))) => Answer::Status(status(fields)),
        _ => Answer::Other(name.clone()),
    })
}

fn status(fields: &[(String, Value)]) -> Status {
    let text = |wanted: &str| match fields.iter().find(|(name, _)| name == wanted) {
        Some((_, Value::String(text))) => text.clone(),
        _ => String::new(),
    };
    Status { code: text("code"), description: text("description") }
}
