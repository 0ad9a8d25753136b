//! The API as its own descriptors tell it: every method, and every field of its messages. A test that
//! goes by them covers what is added later too.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bailiwick::api::pb;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Conditions' values are of this type: a tree of its own, not walked into.
pub(super) const STRUCT: &str = ".google.protobuf.Struct";

/// A method.
#[derive(Debug, Clone)]
pub(super) struct Method {
    /// `/bailiwick.v1.TupleService/ReadTuples`.
    pub(super) path: String,
    pub(super) input: String,
    pub(super) output: String,
    /// It answers with a stream.
    pub(super) streams: bool,
}

/// All messages and methods.
pub(super) struct Schema {
    messages: BTreeMap<String, DescriptorProto>,
    enums: BTreeMap<String, Vec<i32>>,
    methods: Vec<Method>,
}

/// A field somewhere in a message.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// As an error names it: `changes[0].tuple.scope`.
    pub(super) path: String,
    /// The numbers of the fields on the way.
    pub(super) numbers: Vec<u32>,
}

impl Schema {
    /// Everything that the service answers.
    pub(super) fn of_the_service() -> &'static Self {
        static SCHEMA: OnceLock<Schema> = OnceLock::new();
        SCHEMA.get_or_init(|| {
            let sets = [
                pb::DESCRIPTORS,
                tonic_health::pb::FILE_DESCRIPTOR_SET,
                tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            ];
            let mut schema =
                Self { messages: BTreeMap::new(), enums: BTreeMap::new(), methods: Vec::new() };
            for set in sets {
                schema.add(&FileDescriptorSet::decode(set).unwrap());
            }
            schema
        })
    }

    fn add(&mut self, set: &FileDescriptorSet) {
        for file in &set.file {
            let package = format!(".{}", file.package());
            for message in &file.message_type {
                self.add_message(&package, message);
            }
            for declared in &file.enum_type {
                self.add_enum(&package, declared);
            }
            for service in &file.service {
                let of_service = service.method.iter().map(|method| Method {
                    path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                    input: method.input_type().to_owned(),
                    output: method.output_type().to_owned(),
                    streams: method.server_streaming(),
                });
                self.methods.extend(of_service);
            }
        }
    }

    fn add_message(&mut self, within: &str, message: &DescriptorProto) {
        let name = format!("{within}.{}", message.name());
        for nested in &message.nested_type {
            self.add_message(&name, nested);
        }
        for declared in &message.enum_type {
            self.add_enum(&name, declared);
        }
        self.messages.insert(name, message.clone());
    }

    fn add_enum(&mut self, within: &str, declared: &prost_types::EnumDescriptorProto) {
        let values = declared.value.iter().map(prost_types::EnumValueDescriptorProto::number);
        self.enums.insert(format!("{within}.{}", declared.name()), values.collect());
    }

    /// Every method of every service.
    pub(super) fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The methods of `bailiwick.v1`.
    pub(super) fn own_methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter().filter(|method| method.path.starts_with("/bailiwick."))
    }

    /// The fields of a message, by its full name with a leading dot.
    pub(super) fn fields(&self, message: &str) -> &[FieldDescriptorProto] {
        &self.messages.get(message).unwrap_or_else(|| panic!("no message {message}")).field
    }

    /// The numbers of an enumeration's values.
    pub(super) fn values(&self, declared: &str) -> &[i32] {
        &self.enums[declared]
    }

    /// Every field of this type within a message, however deep.
    pub(super) fn places(&self, message: &str, wanted: impl Fn(Kind<'_>) -> bool) -> Vec<Place> {
        let mut found = Vec::new();
        let root = Place { path: String::new(), numbers: Vec::new() };
        self.walk(message, &root, &wanted, &mut found);
        found
    }

    fn walk(
        &self,
        message: &str,
        at: &Place,
        wanted: &impl Fn(Kind<'_>) -> bool,
        found: &mut Vec<Place>,
    ) {
        assert!(at.numbers.len() < 10, "messages within messages without end at {}", at.path);
        for field in self.fields(message) {
            let dot = if at.path.is_empty() { "" } else { "." };
            let index = if is_repeated(field) { "[0]" } else { "" };
            let path = format!("{}{dot}{}{index}", at.path, field.name());
            let numbers = [&at.numbers[..], &[number_of(field)]].concat();
            let place = Place { path, numbers };
            let kind = kind_of(field);
            if wanted(kind) {
                found.push(place);
            } else if let Kind::Message(name) = kind
                && name != STRUCT
            {
                self.walk(name, &place, wanted, found);
            }
        }
    }
}

/// What a field holds, as far as tests tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Text,
    Bytes,
    Double,
    Bool,
    Integer,
    Enum(&'a str),
    Message(&'a str),
}

pub(super) fn kind_of(field: &FieldDescriptorProto) -> Kind<'_> {
    match field.r#type() {
        Type::String => Kind::Text,
        Type::Bytes => Kind::Bytes,
        Type::Double => Kind::Double,
        Type::Bool => Kind::Bool,
        Type::Enum => Kind::Enum(field.type_name()),
        Type::Message => Kind::Message(field.type_name()),
        Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 => Kind::Integer,
        other => panic!("{}: a field of type {other:?}, which no test knows", field.name()),
    }
}

pub(super) fn is_repeated(field: &FieldDescriptorProto) -> bool {
    field.label() == Label::Repeated
}

pub(super) fn number_of(field: &FieldDescriptorProto) -> u32 {
    u32::try_from(field.number()).unwrap()
}
