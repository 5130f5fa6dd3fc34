use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

mod reference;

const COMMAND: u8 = 20;
const DATA: u8 = 18;

const CONNECTED: Standing = Standing { has_application: true, publishes_by_nginx: true };
const FRESH: Standing = Standing { has_application: false, publishes_by_nginx: true };

fn check(kind: u8, bytes: &[u8]) -> Result<(), Danger> {
    amf(kind, CONNECTED, [bytes].into_iter())
}

fn string(text: &[u8]) -> Vec<u8> {
    [&[STRING], &(text.len() as u16).to_be_bytes()[..], text].concat()
}

fn key(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text].concat()
}

fn number() -> Vec<u8> {
    [&[NUMBER][..], &1f64.to_be_bytes()].concat()
}

fn array(count: u32, elements: &[u8]) -> Vec<u8> {
    [&[STRICT_ARRAY], &count.to_be_bytes()[..], elements].concat()
}

/// So many containers in each other, as AMF opens them.
fn nested(opening: &[u8], depth: usize) -> Vec<u8> {
    [string(b"onMetaData"), opening.repeat(depth)].concat()
}

/// Every way to open a container in a container.
const OPENINGS: [&[u8]; 4] = [
    b"\x03\0\x01a",
    b"\x08\0\0\0\x01\0\x01a",
    b"\x0a\0\0\0\x01",
    b"\x03\0\x01a\x0a\0\0\0\x01", // two
];

#[test]
fn thirty_two_levels_pass_and_thirty_three_do_not() {
    for (opening, levels) in OPENINGS.iter().zip([1, 1, 1, 2]) {
        let last = [0x05];
        let deep = |depth: usize| [&nested(opening, depth / levels)[..], &last].concat();
        assert_eq!(check(DATA, &deep(32)), Ok(()), "{opening:?}");
        assert_eq!(check(DATA, &deep(34)), Err(Danger::Depth), "{opening:?}");
    }
    let deep = [nested(OPENINGS[0], 32), b"\x03".to_vec()].concat();
    assert_eq!(check(DATA, &deep), Err(Danger::Depth));
}

#[test]
fn sixty_thousand_levels_are_refused_in_every_type() {
    for kind in 15..=20 {
        for opening in OPENINGS {
            let name = if matches!(kind, 16 | 19) { key(b"connect") } else { string(b"connect") };
            let prefix: &[u8] = if kind < 18 { &[0] } else { &[] };
            let bytes = [prefix, &name, &opening.repeat(60_000)].concat();
            let checked = amf(kind, FRESH, [&bytes[..]].into_iter());
            assert_eq!(checked, Err(Danger::Depth), "{kind} {opening:?}");
        }
    }
}

#[test]
fn a_name_that_is_no_name_is_looked_into_as_well() {
    assert_eq!(check(COMMAND, &OPENINGS[0].repeat(60_000)), Err(Danger::Depth));
}

#[test]
fn the_byte_in_front_of_amf3_is_skipped_if_the_first_buffer_has_it() {
    let deep = nested(OPENINGS[0], 40);
    let check = |chunks: [&[u8]; 3]| amf(17, CONNECTED, chunks.into_iter());
    assert_eq!(check([&[0], &deep, &[]]), Err(Danger::Depth));
    // nginx-rtmp takes the first byte for a marker then; 0x11 is one that it does not know.
    assert_eq!(check([&[], &[0x11], &deep]), Ok(()));
    assert_eq!(check([&[], &deep, &[]]), Err(Danger::Depth));
}

#[test]
fn width_is_no_depth() {
    let object = b"\x03\0\x01a\x05\0\0\x09";
    assert_eq!(check(DATA, &[string(b"x"), object.repeat(1000)].concat()), Ok(()));
    assert_eq!(check(DATA, &[string(b"x"), array(1000, &object.repeat(1000))].concat()), Ok(()));
}

#[test]
fn metadata_of_encoders_passes_however_it_ends() {
    let pair = |name: &str, value: Vec<u8>| [key(name.as_bytes()), value].concat();
    let fields = [
        pair("duration", number()),
        pair("stereo", vec![BOOLEAN, 1]),
        pair("encoder", string(b"Lavf59.27.100\n")),
        pair(
            "keyframes",
            [b"\x03", &pair("times", array(2, &number().repeat(2)))[..], b"\0\0\x09"].concat(),
        ),
    ]
    .concat();
    let names = [string(b"@setDataFrame"), string(b"onMetaData")].concat();
    for opening in [&b"\x03"[..], b"\x08\0\0\0\0", b"\x08\0\0\0\x63", b"\x08\xff\xff\xff\xff"] {
        for ending in [&b"\0\0\x09\0\0\x09"[..], b"\0\0\x09", b"\0", b"", b"\0\0\x09trailing"] {
            let bytes = [&names, opening, &fields, ending].concat();
            assert_eq!(check(DATA, &bytes), Ok(()), "{opening:?} {ending:?}");
        }
    }
}

#[test]
fn what_nginx_rtmp_does_not_know_ends_its_reading() {
    for marker in [0x04, 0x07, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0xff] {
        let bytes = [string(b"x"), vec![marker], OPENINGS[0].repeat(60_000)].concat();
        assert_eq!(check(COMMAND, &bytes), Ok(()));
    }
}

#[test]
fn lengths_and_counts_that_do_not_fit_are_refused() {
    let name = string(b"onMetaData");
    let cut = [&name[..], b"\x02\0\x05abcd"].concat();
    assert_eq!(check(DATA, &cut), Err(Danger::Length));
    let cut = [&name[..], b"\x03\0\x05abcd"].concat();
    assert_eq!(check(DATA, &cut), Err(Danger::Length));
    assert_eq!(check(DATA, b"\x02\xff\xffonMetaData"), Err(Danger::Length));
    for count in [3, u32::MAX] {
        let cut = [&name[..], &array(count, &[NULL, NULL])].concat();
        assert_eq!(check(DATA, &cut), Err(Danger::Count));
    }
    assert_eq!(check(DATA, &[&name[..], &array(2, &[NULL, NULL])].concat()), Ok(()));
}

#[test]
fn a_shared_object_is_amf_only_by_its_depth() {
    assert_eq!(check(19, b"\0\x04chat\0\0\0\x01\0\0\0\0\0\0\0\0\x02\xff\xff"), Ok(()));
    assert_eq!(check(16, b"\0\0\x04chat\x0a\xff\xff\xff\xff\x05"), Ok(()));
}

#[test]
fn texts_that_nginx_rtmp_logs_have_no_control_characters() {
    let connect = |field: &[u8]| {
        [string(b"connect"), number(), b"\x03".to_vec(), key(b"flashVer"), string(field)].concat()
    };
    let publish = |name: &[u8]| [string(b"PUBLISH"), number(), vec![NULL], string(name)].concat();
    let play2 = |name: &[u8]| {
        [string(b"play2"), number(), vec![NULL], b"\x03\0\x01a".to_vec(), string(name)].concat()
    };
    for text in [&b"x\ny"[..], b"\r", b"\x1b[2J", b"\x7f", b"\t"] {
        let refused = |command| Err(Danger::ControlCharacter(command));
        assert_eq!(amf(COMMAND, FRESH, [&connect(text)[..]].into_iter()), refused("connect"));
        assert_eq!(check(DATA, &publish(text)), refused("publish"));
        assert_eq!(check(COMMAND, &play2(text)), refused("play2"));
        let ours = Standing { publishes_by_nginx: false, ..CONNECTED };
        assert_eq!(amf(COMMAND, ours, [&publish(text)[..]].into_iter()), Ok(()));
    }
    for text in [&b"FMLE/3.0 (compatible; \xc3\xa9)"[..], b"", b"x\0\n"] {
        assert_eq!(amf(COMMAND, FRESH, [&connect(text)[..]].into_iter()), Ok(()));
        assert_eq!(check(COMMAND, &publish(text)), Ok(()));
    }
    let other = [string(b"FCPublish"), number(), vec![NULL], string(b"a\nb")].concat();
    assert_eq!(check(COMMAND, &other), Ok(()));
}

#[test]
fn metadata_has_to_wait_for_connect() {
    for name in [&b"onMetaData"[..], b"@setDataFrame", b"ONMETADATA", b"onMetaData\0x"] {
        for kind in [DATA, COMMAND] {
            let bytes = [string(name), vec![NULL]].concat();
            assert_eq!(amf(kind, FRESH, [&bytes[..]].into_iter()), Err(Danger::EarlyMetadata));
            assert_eq!(check(kind, &bytes), Ok(()));
        }
    }
    let other = string(b"connect");
    assert_eq!(amf(COMMAND, FRESH, [&other[..]].into_iter()), Ok(()));
}

#[test]
fn a_session_has_one_application() {
    for name in [&b"connect"[..], b"CONNECT", b"connect\0x"] {
        for kind in [DATA, COMMAND] {
            assert_eq!(check(kind, &string(name)), Err(Danger::Reconnection));
        }
        assert_eq!(check(19, &key(name)), Err(Danger::Reconnection));
    }
}

#[test]
fn metadata_that_nginx_rtmp_only_logs_an_error_about_is_unreadable() {
    for name in [&b"onMetaData"[..], b"@setDataFrame"] {
        let name = string(name);
        let texts = [&b""[..], &string(b"onMetaData")];
        for text in texts {
            let check = |object: &[u8]| check(DATA, &[&name, text, object].concat());
            for object in [&b""[..], b"\x0b", b"\x03\0\x01a\x0b", b"\x03\0\x01a\0\0", b"\x03\0\0"] {
                assert_eq!(check(object), Err(Danger::UnreadableMetadata), "{object:?}");
            }
            for object in
                [&b"\x03\0\0\x09\x0b"[..], b"\x03\0\x01a\x05", b"\x03\0\x01a\x03", b"\x05"]
            {
                assert_eq!(check(object), Ok(()), "{object:?}");
            }
        }
    }
}

/// Values as encoders and attackers build them, deeper than what is let through.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let text = vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![
        Just(number()),
        any::<bool>().prop_map(|value| vec![BOOLEAN, value.into()]),
        text.clone().prop_map(|text| string(&text)),
        Just(vec![NULL]),
        Just(vec![UNDEFINED]),
        Just(vec![OBJECT_END]),
    ];
    let pairs = |element: BoxedStrategy<Vec<u8>>| {
        let pair = (vec(any::<u8>(), 1..5), element)
            .prop_map(|(name, value)| [key(&name), value].concat());
        vec(pair, 0..4).prop_map(|pairs| pairs.concat())
    };
    let ends = prop_oneof![9 => Just(&b"\0\0\x09"[..]), 1 => Just(&b""[..])];
    leaf.prop_recursive(48, 160, 4, move |element| {
        prop_oneof![
            (pairs(element.clone()), ends.clone()).prop_map(|(pairs, end)| [
                b"\x03",
                &pairs[..],
                end
            ]
            .concat()),
            (pairs(element.clone()), any::<u32>(), ends.clone()).prop_map(|(pairs, count, end)| {
                [b"\x08", &count.to_be_bytes()[..], &pairs, end].concat()
            }),
            (vec(element, 0..4), 0..3u32).prop_map(|(elements, more)| {
                array(elements.len() as u32 + more / 2, &elements.concat())
            }),
        ]
    })
}

/// A value in so many others.
fn deep_value() -> impl Strategy<Value = Vec<u8>> {
    (vec(0..OPENINGS.len(), 0..40), value()).prop_map(|(openings, value)| {
        let openings: Vec<u8> = openings.iter().flat_map(|&at| OPENINGS[at]).copied().collect();
        [openings, value].concat()
    })
}

proptest! {
    /// On trees of values, cut anywhere, it says what nginx-rtmp's own recursion comes to.
    #[test]
    fn it_agrees_with_the_recursion_it_stands_in_front_of(
        values in vec(deep_value(), 1..4),
        size in 1..200usize,
        keep in 0.0..=1.0f64,
    ) {
        let bytes = [string(b"x"), values.concat()].concat();
        let bytes = &bytes[..(bytes.len() as f64 * keep) as usize];
        let cut = bytes.chunks(size).flat_map(|chunk| [chunk, &[]]);
        prop_assert_eq!(amf(DATA, CONNECTED, cut), reference::check(bytes));
    }

    /// Every truncation of a message, and every one of its bytes as another.
    #[test]
    fn it_agrees_on_every_truncation_and_mutation(value in value(), byte in any::<u8>()) {
        let bytes = [string(b"x"), value].concat();
        for at in 0..bytes.len().min(300) {
            prop_assert_eq!(check(DATA, &bytes[..at]), reference::check(&bytes[..at]));
            let mut other = bytes.clone();
            other[at] = byte;
            prop_assert_eq!(check(DATA, &other), reference::check(&other));
        }
    }

    /// On bytes that are mostly markers, which is where the two would part.
    #[test]
    fn it_agrees_on_anything(bytes in vec(0..13u8, 0..400)) {
        prop_assert_eq!(check(DATA, &bytes), reference::check(&bytes));
    }
}
