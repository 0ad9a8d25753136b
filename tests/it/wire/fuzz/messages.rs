//! Messages from descriptors: each field by its type, and each text by the name of its field. A field
//! that is added to the API is filled from then on.

use std::collections::VecDeque;
use std::sync::Mutex;

use prost_types::FieldDescriptorProto;

use super::words::{Theme, Words, garbage};
use crate::wire::raw::{bytes_field, double_field, varint_field, with_field};
use crate::wire::schema::{Kind, Method, STRUCT, Schema, is_repeated, kind_of, number_of};

/// Answers' texts that are kept for later requests.
const KEPT: usize = 256;
/// Fields without which a message says nothing.
const NEEDED: [&str; 13] = [
    "subject",
    "permission",
    "scope",
    "role",
    "subject_type",
    "items",
    "changes",
    "operation",
    "tuple",
    "matrix",
    "actor",
    "verb",
    "new_role",
];

/// How far a request is from one that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wildness {
    /// As a caller means it.
    Sound,
    /// A field here and there is off.
    Slips,
    /// Nothing fits.
    Wild,
}

/// What earlier answers handed out.
#[derive(Default)]
pub(super) struct Kept {
    tokens: Mutex<VecDeque<String>>,
    cursors: Mutex<VecDeque<String>>,
    /// Requests whose lists can be gone on with, each with a cursor.
    lists: Mutex<VecDeque<(Method, Vec<u8>, String)>>,
}

impl Kept {
    pub(super) fn token(&self, text: &str) {
        Self::keep(&self.tokens, text);
    }

    pub(super) fn cursor(&self, text: &str) {
        Self::keep(&self.cursors, text);
    }

    /// A list that was answered, and the cursor of one of its entries.
    pub(super) fn list(&self, method: &Method, message: &[u8], cursor: String) {
        Self::push(&self.lists, (method.clone(), message.to_vec(), cursor));
    }

    fn keep(all: &Mutex<VecDeque<String>>, text: &str) {
        if !text.is_empty() {
            Self::push(all, text.to_owned());
        }
    }

    fn push<T>(all: &Mutex<VecDeque<T>>, new: T) {
        let mut all = all.lock().unwrap();
        all.push_back(new);
        if all.len() > KEPT {
            all.pop_front();
        }
    }

    fn some(all: &Mutex<VecDeque<String>>, random: &mut fastrand::Rng) -> String {
        let all = all.lock().unwrap();
        if all.is_empty() { String::new() } else { all[random.usize(..all.len())].clone() }
    }
}

/// Makes the messages of one caller.
pub(super) struct Maker<'a> {
    pub(super) schema: &'a Schema,
    pub(super) words: &'a Words,
    pub(super) kept: &'a Kept,
    pub(super) random: fastrand::Rng,
    /// A token went into the message that is being made.
    pub(super) waits: bool,
}

impl Maker<'_> {
    /// One in so many.
    pub(super) fn one_in(&mut self, many: u32) -> bool {
        self.random.u32(..many) == 0
    }

    /// A message of this type, encoded, and whether it names a revision that may be yet to come.
    pub(super) fn message(&mut self, name: &str, wildness: Wildness) -> (Vec<u8>, bool) {
        self.waits = false;
        let message = self.nested(name, wildness, 0);
        (message, self.waits)
    }

    /// An earlier list, from one of its entries on; nothing where lists have no cursors.
    pub(super) fn resumed(&mut self) -> Option<(Method, Vec<u8>)> {
        let lists = self.kept.lists.lock().unwrap();
        let at = (!lists.is_empty()).then(|| self.random.usize(..lists.len()))?;
        let (method, message, cursor) = &lists[at];
        let fields = self.schema.fields(&method.input);
        let goes_on = |name: &str| name.ends_with("cursor") || name.ends_with("page_token");
        let field = fields.iter().find(|field| goes_on(field.name()))?;
        let message = with_field(message, &[number_of(field)], cursor.as_bytes());
        Some((method.clone(), message))
    }

    fn nested(&mut self, name: &str, wildness: Wildness, depth: usize) -> Vec<u8> {
        if name == STRUCT {
            return self.values(wildness);
        }
        if name == ".google.protobuf.Timestamp" {
            return self.moment(wildness);
        }
        if depth > 8 {
            return Vec::new();
        }
        let fields = self.schema.fields(name);
        let is_tuple = name.ends_with(".Tuple") || name.ends_with(".TupleFilter");
        let theme = match is_tuple {
            true => self.words.tuple("i", &mut self.random),
            false => self.words.question("i", &mut self.random),
        };
        let is_filter = name.ends_with(".TupleFilter");
        let mut message = Vec::new();
        let chosen = self.chosen_of_each_oneof(fields, wildness);
        for (at, field) in fields.iter().enumerate() {
            let needed = NEEDED.contains(&field.name()) && !is_filter;
            let wanted = match field.oneof_index {
                Some(_) if !field.proto3_optional() => chosen.contains(&at),
                _ if needed => wildness < Wildness::Wild || !self.one_in(4),
                _ => self.random.u32(..100) < self.share(field, wildness, is_filter),
            };
            if wanted {
                for _ in 0..self.count(field, wildness) {
                    message.extend(self.field(field, &theme, wildness, depth));
                }
            }
        }
        message
    }

    /// In how many of a hundred messages a field that may be left out is there.
    fn share(&self, field: &FieldDescriptorProto, wildness: Wildness, is_filter: bool) -> u32 {
        match wildness {
            Wildness::Sound if is_filter || field.name() == "with_grant" => 30,
            Wildness::Sound if field.name() == "context" || field.name() == "filter" => 40,
            Wildness::Sound => 6,
            Wildness::Slips => 25,
            Wildness::Wild => 50,
        }
    }

    /// One field of each `oneof`; wild ones may have several, of which the last counts.
    fn chosen_of_each_oneof(
        &mut self,
        fields: &[FieldDescriptorProto],
        wildness: Wildness,
    ) -> Vec<usize> {
        let mut chosen = Vec::new();
        let groups: std::collections::BTreeSet<i32> =
            fields.iter().filter_map(|field| field.oneof_index).collect();
        for group in groups {
            let of_group: Vec<usize> =
                (0..fields.len()).filter(|at| fields[*at].oneof_index == Some(group)).collect();
            chosen.push(of_group[self.random.usize(..of_group.len())]);
            if wildness == Wildness::Wild && self.one_in(3) {
                chosen.push(of_group[self.random.usize(..of_group.len())]);
            }
        }
        chosen
    }

    fn count(&mut self, field: &FieldDescriptorProto, wildness: Wildness) -> usize {
        if !is_repeated(field) {
            return 1;
        }
        match wildness {
            Wildness::Sound if self.one_in(60) => self.random.usize(20..60),
            Wildness::Sound => self.random.usize(1..4),
            Wildness::Slips => self.random.usize(..6),
            Wildness::Wild if self.one_in(60) => self.random.usize(100..300),
            Wildness::Wild => self.random.usize(..8),
        }
    }

    fn field(
        &mut self,
        field: &FieldDescriptorProto,
        theme: &Theme,
        wildness: Wildness,
        depth: usize,
    ) -> Vec<u8> {
        let number = number_of(field);
        match kind_of(field) {
            Kind::Text => bytes_field(number, self.text(field.name(), theme, wildness).as_bytes()),
            Kind::Bytes => bytes_field(number, garbage(&mut self.random).as_bytes()),
            Kind::Double => double_field(number, self.double()),
            Kind::Bool => varint_field(number, u64::from(!self.one_in(4))),
            Kind::Integer => varint_field(number, self.integer(wildness)),
            Kind::Enum(of) => {
                let values = self.schema.values(of);
                // The first is the one that stands for nothing.
                let value = match wildness {
                    Wildness::Sound => values[self.random.usize(1..values.len())],
                    _ if self.one_in(5) => self.random.i32(..),
                    _ => values[self.random.usize(..values.len())],
                };
                varint_field(number, i64::from(value).cast_unsigned())
            }
            Kind::Message(of) => bytes_field(number, &self.nested(of, wildness, depth + 1)),
        }
    }

    fn double(&mut self) -> f64 {
        const EDGES: [f64; 12] = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            0.0,
            -0.0,
            -1.0,
            0.5,
            9_007_199_254_740_993.0,
            9.3e18,
            -1.9e19,
        ];
        match self.random.u8(..3) {
            0 => f64::from_bits(self.random.u64(..)),
            1 => f64::from(self.random.i8(..)),
            _ => EDGES[self.random.usize(..EDGES.len())],
        }
    }

    fn integer(&mut self, wildness: Wildness) -> u64 {
        match wildness {
            Wildness::Sound => self.random.u64(1..100),
            _ => match self.random.u8(..4) {
                0 => 0,
                1 => u64::MAX,
                2 => u64::from(u32::MAX) + self.random.u64(..4),
                _ => self.random.u64(..),
            },
        }
    }

    fn text(&mut self, field: &str, theme: &Theme, wildness: Wildness) -> String {
        self.waits |= ["at_least", "exactly"].contains(&field);
        let meant = self.meant(field, theme);
        let is_off = match wildness {
            Wildness::Sound => false,
            Wildness::Slips => self.one_in(4),
            Wildness::Wild => !self.one_in(4),
        };
        match self.random.u8(..3) {
            _ if !is_off => meant,
            0 => garbage(&mut self.random),
            _ => self.words.slip(&meant, &mut self.random),
        }
    }

    /// What a caller would put into a field of this name.
    fn meant(&mut self, field: &str, theme: &Theme) -> String {
        if let Some(text) = theme.get(field) {
            return text.clone();
        }
        let random = &mut self.random;
        match field {
            "actor" | "target" => theme["subject"].clone(),
            "new_role" => theme["role"].clone(),
            "relation" => "parent".to_owned(),
            "verb" if !self.words.verbs.is_empty() => {
                self.words.verbs[random.usize(..self.words.verbs.len())].clone()
            }
            "source" => ["", "hr", "crm"][random.usize(..3)].to_owned(),
            "name" if !self.words.conditions.is_empty() => {
                self.words.conditions[random.usize(..self.words.conditions.len())].0.clone()
            }
            "matrix" if !self.words.matrices.is_empty() => {
                self.words.matrices[random.usize(..self.words.matrices.len())].clone()
            }
            "idempotency_key" => format!("key-{}", random.usize(..64)),
            "at_least" | "exactly" => Kept::some(&self.kept.tokens, random),
            "list_services" | "service" | "host" => String::new(),
            _ if field.ends_with("cursor") || field.ends_with("token") => {
                Kept::some(&self.kept.cursors, random)
            }
            _ => self.words.any_word(random),
        }
    }

    /// Around now, in the years that a timestamp knows, or not.
    fn moment(&mut self, wildness: Wildness) -> Vec<u8> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seconds = match wildness {
            Wildness::Wild => self.random.u64(..),
            _ => now.as_secs() + self.random.u64(..5_000) - 2,
        };
        let nanos = if wildness == Wildness::Wild { self.random.u64(..) } else { 0 };
        [varint_field(1, seconds), varint_field(2, nanos)].concat()
    }

    /// Values for conditions.
    fn values(&mut self, wildness: Wildness) -> Vec<u8> {
        let mut values = Vec::new();
        for _ in 0..self.random.usize(..4) {
            let (key, value) = match wildness {
                Wildness::Sound => self.parameter(),
                _ => (self.words.slip("hour", &mut self.random), self.strange_value()),
            };
            let entry = [bytes_field(1, key.as_bytes()), bytes_field(2, &value)].concat();
            values.extend(bytes_field(1, &entry));
        }
        values
    }

    /// Too deep, too large, or anything.
    fn strange_value(&mut self) -> Vec<u8> {
        match self.random.u8(..30) {
            0 => bytes_field(3, "z".repeat(self.random.usize(60_000..70_000)).as_bytes()),
            1 => {
                let mut value = Vec::new();
                for _ in 0..self.random.usize(10..60) {
                    value = bytes_field(6, &bytes_field(1, &value));
                }
                value
            }
            _ => self.value(4),
        }
    }

    /// A parameter of some condition with a value that fits.
    fn parameter(&mut self) -> (String, Vec<u8>) {
        let conditions = &self.words.conditions;
        let parameters: Vec<_> = conditions.iter().flat_map(|(_, all)| all).collect();
        if parameters.is_empty() {
            return ("none".into(), varint_field(4, 1));
        }
        let (name, kind) = parameters[self.random.usize(..parameters.len())];
        let value = match kind.as_str() {
            "int" | "uint" | "double" => double_field(2, f64::from(self.random.u8(..24))),
            "bool" => varint_field(4, u64::from(self.random.bool())),
            _ => bytes_field(3, ["office", "cafe", "10.0.0.1"][self.random.usize(..3)].as_bytes()),
        };
        (name.clone(), value)
    }

    /// Any `Value`, at most so deep.
    fn value(&mut self, depth: usize) -> Vec<u8> {
        let kinds = if depth == 0 { 5 } else { 8 };
        match self.random.u8(..kinds) {
            0 => varint_field(1, 0),
            1 => double_field(2, self.double()),
            2 => bytes_field(3, garbage(&mut self.random).as_bytes()),
            3 => varint_field(4, 1),
            4 => Vec::new(),
            _ => {
                let inner = bytes_field(1, &self.value(depth - 1));
                bytes_field(6, &inner)
            }
        }
    }

    /// Bytes that were a message once, or never.
    pub(super) fn spoiled(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.random.usize(1..4) {
            let at = self.random.usize(..=bytes.len());
            match self.random.u8(..6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.random.u8(..8),
                1 => bytes.truncate(at),
                2 => bytes.insert(at, self.random.u8(..)),
                3 if bytes.len() < 100_000 => {
                    let again = bytes[at..].to_vec();
                    bytes.extend(again);
                }
                4 => bytes = (0..self.random.usize(..200)).map(|_| self.random.u8(..)).collect(),
                _ if at < bytes.len() => bytes[at] = self.random.u8(..),
                _ => bytes.push(0xff),
            }
        }
        bytes
    }
}
