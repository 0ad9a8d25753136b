//! The bytes on users' disks: old ones decode for ever, and what is written is what is frozen here.

use super::*;

fn sample_tuple() -> Tuple {
    let mut tuple = Tuple::plain(TupleKey::parse("org:acme#technician@group:ops#member").unwrap());
    tuple.key.source = "ldap".to_owned();
    tuple.expires_at = Some(Time(-7));
    let context = serde_json::from_str(r#"{"a":[0.1,null,true],"b":18446744073709551615}"#);
    tuple.condition =
        Some(TupleCondition { name: Name::parse("hours").unwrap(), context: context.unwrap() });
    tuple.grantor = "user:ana".to_owned();
    tuple.reason = "on call".to_owned();
    tuple
}

fn sample_commit() -> Commit {
    let files = vec![("model.yaml".to_owned(), "model: x\n".to_owned())];
    let all = TupleKey::parse("org:acme#viewer@user:*").unwrap();
    Commit {
        time: Time(1_700_000_000_000_000),
        changes: vec![Change::Put(sample_tuple()), Change::Delete(all)],
        model: Some(ModelFiles { digest: "d1".to_owned(), files }),
        request: None,
    }
}

fn sample_request() -> KeyedRequest {
    let ascending = u128::from_be_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    let fingerprint =
        |first: u8| Fingerprint((ascending + u128::from_be_bytes([first; 16])).to_be_bytes());
    KeyedRequest { key: fingerprint(0x10), body: fingerprint(0xa0), changed: 2 }
}

fn keyed_commit() -> Commit {
    Commit { request: Some(sample_request()), ..sample_commit() }
}

fn sample_keyed() -> KeyedCommit {
    let head = sample_checkpoint().head;
    KeyedCommit { request: sample_request(), head, time: sample_commit().time }
}

fn keyed_checkpoint() -> CheckpointHead {
    CheckpointHead { keyed_count: 7, ..sample_checkpoint() }
}

fn sample_checkpoint() -> CheckpointHead {
    CheckpointHead {
        head: Head { revision: Revision(300), checksum: 0x0123_4567_89ab_cdef },
        time: Time(1_700_000_000_000_000),
        model: sample_commit().model,
        model_since: None,
        tuple_count: 1_000,
        keyed_count: 0,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

/// Written by format 1. Never change these: they are what lies on users' disks. Later fields have
/// frozen bytes of their own, below.
const FROZEN_COMMIT: &str = "\
    01088080f28183898506127e0a7c0a086f72673a61636d65120a746563686e696369616e1a106772\
    6f75703a6f7073236d656d62657222046c646170280d32370a05686f757273122e7b2261223a5b30\
    2e312c6e756c6c2c747275655d2c2262223a31383434363734343037333730393535313631357d3a\
    08757365723a616e6142076f6e2063616c6c121c121a0a086f72673a61636d651206766965776572\
    1a06757365723a2a1a1d0a02643112170a0a6d6f64656c2e79616d6c12096d6f64656c3a20780a";
const FROZEN_TUPLE: &str = "\
    0a086f72673a61636d65120a746563686e696369616e1a1067726f75703a6f7073236d656d626572\
    22046c646170280d32370a05686f757273122e7b2261223a5b302e312c6e756c6c2c747275655d2c\
    2262223a31383434363734343037333730393535313631357d3a08757365723a616e6142076f6e20\
    63616c6c";
const FROZEN_CHECKPOINT: &str = "\
    0108ac0211efcdab8967452301188080f28183898506221d0a02643112170a0a6d6f64656c2e7961\
    6d6c12096d6f64656c3a20780a28e807";

/// What follows the bytes of `FROZEN_COMMIT` where the commit has an idempotency key.
const FROZEN_REQUEST: &str = "\
    22260a10101112131415161718191a1b1c1d1e1f1210a0a1a2a3a4a5a6a7a8a9aaabacadaeaf1802";
const FROZEN_KEYED: &str = "\
    0a260a10101112131415161718191a1b1c1d1e1f1210a0a1a2a3a4a5a6a7a8a9aaabacadaeaf180210ac0219\
    efcdab8967452301208080f28183898506";
/// Of format 2: keyed commits follow the tuples.
const FROZEN_KEYED_CHECKPOINT: &str = "\
    0208ac0211efcdab8967452301188080f28183898506221d0a02643112170a0a6d6f64656c2e7961\
    6d6c12096d6f64656c3a20780a28e8073007";

/// What follows the bytes of `FROZEN_TUPLE` where the tuple says when it was granted.
const FROZEN_GRANTED_AT: &str = "488080f28183898506";

fn granted_tuple() -> Tuple {
    Tuple { granted_at: Some(sample_commit().time), ..sample_tuple() }
}

#[test]
fn a_tuple_that_says_when_it_was_granted_is_the_frozen_one() {
    let frozen = bytes(&[FROZEN_TUPLE, FROZEN_GRANTED_AT].concat());
    assert_eq!(decode_tuple(&frozen).unwrap(), granted_tuple());
    assert_eq!(hex(&encode_tuple(&granted_tuple()).unwrap()), hex(&frozen));
}

#[test]
fn old_bytes_decode_for_ever() {
    assert_eq!(decode_commit(&bytes(FROZEN_COMMIT)).unwrap(), sample_commit());
    assert_eq!(decode_tuple(&bytes(FROZEN_TUPLE)).unwrap(), sample_tuple());
    assert_eq!(decode_checkpoint(&bytes(FROZEN_CHECKPOINT)).unwrap(), sample_checkpoint());
    let keyed = bytes(&[FROZEN_COMMIT, FROZEN_REQUEST].concat());
    assert_eq!(decode_commit(&keyed).unwrap(), keyed_commit());
    assert_eq!(decode_keyed(&bytes(FROZEN_KEYED)).unwrap(), sample_keyed());
    assert_eq!(decode_checkpoint(&bytes(FROZEN_KEYED_CHECKPOINT)).unwrap(), keyed_checkpoint());
}

#[test]
fn the_written_format_is_the_frozen_one() {
    assert_eq!(hex(&encode_commit(&sample_commit()).unwrap()), FROZEN_COMMIT);
    assert_eq!(hex(&encode_tuple(&sample_tuple()).unwrap()), FROZEN_TUPLE);
    assert_eq!(hex(&encode_checkpoint(&sample_checkpoint())), FROZEN_CHECKPOINT);
    let keyed = [FROZEN_COMMIT, FROZEN_REQUEST].concat();
    assert_eq!(hex(&encode_commit(&keyed_commit()).unwrap()), keyed);
    assert_eq!(hex(&encode_keyed(&sample_keyed())), FROZEN_KEYED);
    assert_eq!(hex(&encode_checkpoint(&keyed_checkpoint())), FROZEN_KEYED_CHECKPOINT);
    let head = chained(sample_checkpoint().head, &bytes(FROZEN_COMMIT));
    assert_eq!(head, Head { revision: Revision(301), checksum: 0xa916_ef5d_2763_b5e1 });
}

#[test]
fn another_format_and_cut_bytes_are_refused() {
    let good = bytes(FROZEN_COMMIT);
    let mut other = good.clone();
    other[0] = 2;
    let e = decode_commit(&other).unwrap_err().to_string();
    assert!(e.contains("format 2, this program reads up to 1"), "{e}");
    let mut newer = bytes(FROZEN_KEYED_CHECKPOINT);
    newer[0] = 3;
    let e = decode_checkpoint(&newer).unwrap_err().to_string();
    assert!(e.contains("format 3, this program reads up to 2"), "{e}");
    let mut cut = encode_keyed(&sample_keyed());
    let at = cut.windows(2).position(|pair| pair == [16, 0x10]).unwrap();
    cut.remove(at + 1);
    // The lengths before it: of the request, and of the key.
    cut[at] -= 1;
    cut[1] -= 1;
    let e = decode_keyed(&cut).unwrap_err().to_string();
    assert!(e.contains("has not 16 bytes"), "{e}");
    assert!(decode_commit(&[]).is_err());
    // A cut between two fields is a shorter message; the log's checksum is what sees that.
    for length in 1..good.len() {
        assert!(decode_commit(&good[..length]).ok() != Some(sample_commit()), "{length}");
    }
}

#[test]
fn every_double_comes_back_exactly() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..20_000 {
        let Some(value) = serde_json::Number::from_f64(f64::from_bits(random.u64(..))) else {
            continue;
        };
        let mut tuple = sample_tuple();
        let context = [("x".to_owned(), serde_json::Value::Number(value))].into();
        tuple.condition = Some(TupleCondition { name: Name::parse("c").unwrap(), context });
        assert_eq!(decode_tuple(&encode_tuple(&tuple).unwrap()).unwrap(), tuple);
    }
}

#[test]
fn since_when_a_model_is_in_force_comes_back() {
    let since = ModelSince { revision: Revision(7), time: Time(-1) };
    let state = CheckpointHead { model_since: Some(since), ..sample_checkpoint() };
    assert_eq!(decode_checkpoint(&encode_checkpoint(&state)).unwrap(), state);
}
