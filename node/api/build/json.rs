//! Writes the proto3 JSON mapping of every message: one `json::Message` per message, one `json::Enumeration` per enum.
//!
//! The generated code is only a table of fields; what a kind of field looks like in JSON is decided by the codecs in
//! `src/json`. Kinds that etcd's messages do not have (floats, maps, groups) stop the build instead of being guessed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Field names of etcd that are words of Rust.
const KEYWORDS: [&str; 1] = ["type"];

/// Writes `<package>.json.rs` into `OUT_DIR` for every package of the descriptors.
pub(crate) fn write(descriptors: &FileDescriptorSet) -> anyhow::Result<()> {
    let mut packages: BTreeMap<&str, String> = BTreeMap::new();
    for file in &descriptors.file {
        let out = packages.entry(file.package()).or_default();
        for enumeration in &file.enum_type {
            write_enum(out, &format!(".{}.{}", file.package(), enumeration.name()))?;
        }
        for message in &file.message_type {
            write_message(out, &format!(".{}.{}", file.package(), message.name()), message)?;
        }
    }
    let folder = std::env::var_os("OUT_DIR").ok_or_else(|| anyhow::anyhow!("cargo did not set OUT_DIR"))?;
    for (package, text) in packages {
        std::fs::write(Path::new(&folder).join(format!("{package}.json.rs")), text)?;
    }
    Ok(())
}

fn write_enum(out: &mut String, path: &str) -> anyhow::Result<()> {
    let name = rust_path(path);
    writeln!(out, "impl crate::json::Enumeration for {name} {{")?;
    writeln!(out, "    fn name(self) -> &'static str {{ self.as_str_name() }}")?;
    writeln!(
        out,
        "    fn from_name(name: &str) -> Option<Self> {{ Self::from_str_name(name) }}"
    )?;
    writeln!(out, "}}")?;
    Ok(())
}

fn write_message(out: &mut String, path: &str, message: &DescriptorProto) -> anyhow::Result<()> {
    for enumeration in &message.enum_type {
        write_enum(out, &format!("{path}.{}", enumeration.name()))?;
    }
    anyhow::ensure!(
        message.nested_type.is_empty(),
        "{path}: nested messages and maps are not handled"
    );
    let fields: Result<Vec<Field>, _> = message
        .field
        .iter()
        .map(|field| Field::new(path, message, field))
        .collect();
    let (name, fields) = (rust_path(path), fields?);

    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    writeln!(out, "impl crate::json::Message for {name} {{")?;
    writeln!(
        out,
        "    const NAME: &'static str = {:?};",
        path.trim_start_matches('.')
    )?;
    writeln!(out, "    const FIELDS: &'static [&'static str] = &{names:?};")?;
    // A message without fields uses no parameter, and the compiler would say so.
    let unused = if fields.is_empty() { "_" } else { "" };
    write_index(out, &fields, unused)?;
    write_read(out, &fields, unused)?;
    write_write(out, &fields, unused)?;
    writeln!(out, "}}")?;
    write_serde(out, &name)?;
    Ok(())
}

fn write_index(out: &mut String, fields: &[Field], unused: &str) -> std::fmt::Result {
    writeln!(out, "    fn index({unused}name: &str) -> Option<u32> {{")?;
    for (index, field) in fields.iter().enumerate() {
        writeln!(
            out,
            "        if matches!(name, {}) {{ return Some({index}); }}",
            field.patterns()
        )?;
    }
    writeln!(out, "        None\n    }}")
}

fn write_read(out: &mut String, fields: &[Field], unused: &str) -> std::fmt::Result {
    let types = "<'de, A: serde::de::MapAccess<'de>>";
    let parameters = format!("&mut self, {unused}index: u32, {unused}map: &mut A");
    writeln!(out, "    fn read{types}({parameters}) -> Result<(), A::Error> {{")?;
    for (index, field) in fields.iter().enumerate() {
        writeln!(out, "        if index == {index} {{ return {}; }}", field.read())?;
    }
    writeln!(out, "        Ok(())\n    }}")
}

fn write_write(out: &mut String, fields: &[Field], unused: &str) -> std::fmt::Result {
    let types = "<M: serde::ser::SerializeMap>";
    writeln!(
        out,
        "    fn write{types}(&self, {unused}map: &mut M) -> Result<(), M::Error> {{"
    )?;
    for field in fields {
        writeln!(out, "        {}", field.write())?;
    }
    writeln!(out, "        Ok(())\n    }}")
}

fn write_serde(out: &mut String, name: &str) -> std::fmt::Result {
    writeln!(out, "impl serde::Serialize for {name} {{")?;
    writeln!(
        out,
        "    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {{"
    )?;
    writeln!(out, "        crate::json::serialize(self, serializer)\n    }}\n}}")?;
    writeln!(out, "impl<'de> serde::Deserialize<'de> for {name} {{")?;
    writeln!(
        out,
        "    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {{"
    )?;
    writeln!(out, "        crate::json::deserialize(deserializer)\n    }}\n}}")
}

/// What the generated code needs to know of one field.
struct Field {
    /// Name in the `.proto` file, written to JSON.
    name: String,
    /// lowerCamelCase name, also read from JSON.
    json_name: String,
    /// Name of the Rust field; of the oneof for a member of one.
    member: String,
    /// The codec, as a type of `crate::json`.
    codec: String,
    /// For a member of a oneof: path of its variant.
    variant: Option<String>,
}

impl Field {
    fn new(path: &str, message: &DescriptorProto, field: &FieldDescriptorProto) -> anyhow::Result<Self> {
        let repeated = field.label() == Label::Repeated;
        let element = match field.r#type() {
            Type::Bytes => "Blob".to_owned(),
            Type::String => "Text".to_owned(),
            Type::Bool => "Flag".to_owned(),
            Type::Int64 => "Wide<i64>".to_owned(),
            Type::Uint64 => "Wide<u64>".to_owned(),
            Type::Uint32 => "Narrow<u32>".to_owned(),
            Type::Enum => format!("Named<{}>", rust_path(field.type_name())),
            Type::Message if repeated || field.oneof_index.is_some() => {
                format!("One<{}>", rust_path(field.type_name()))
            }
            Type::Message => format!("Maybe<{}>", rust_path(field.type_name())),
            other => anyhow::bail!("{path}.{}: no JSON codec for {other:?}", field.name()),
        };
        let oneof = field.oneof_index.map(|index| message.oneof_decl[index as usize].name());
        let variant = oneof.map(|oneof| {
            let variant = field.name().to_upper_camel_case();
            format!("{}::{}::{variant}", rust_module(path), oneof.to_upper_camel_case())
        });
        Ok(Self {
            name: field.name().to_owned(),
            json_name: field.json_name().to_owned(),
            member: rust_field(oneof.unwrap_or(field.name())),
            codec: if repeated {
                format!("crate::json::Repeated<crate::json::{element}>")
            } else {
                format!("crate::json::{element}")
            },
            variant,
        })
    }

    fn patterns(&self) -> String {
        if self.name == self.json_name {
            format!("{:?}", self.name)
        } else {
            format!("{:?} | {:?}", self.name, self.json_name)
        }
    }

    fn read(&self) -> String {
        let Self {
            member, codec, variant, ..
        } = self;
        match variant {
            Some(variant) => format!("crate::json::read_variant::<{codec}, _, _>(map, &mut self.{member}, {variant})"),
            None => format!("crate::json::read::<{codec}, _>(map, &mut self.{member})"),
        }
    }

    fn write(&self) -> String {
        let Self {
            name,
            member,
            codec,
            variant,
            ..
        } = self;
        match variant {
            Some(variant) => format!(
                "if let Some({variant}(value)) = &self.{member} {{ crate::json::write_variant::<{codec}, _>(map, {name:?}, value)?; }}"
            ),
            None => format!("crate::json::write::<{codec}, _>(map, {name:?}, &self.{member})?;"),
        }
    }
}

/// `.package.Outer.Inner` as prost names it: `crate::package::outer::Inner`.
fn rust_path(path: &str) -> String {
    let (outer, name) = path
        .trim_start_matches('.')
        .rsplit_once('.')
        .expect("a type lies in a package");
    format!("{}::{}", rust_module(outer), name.to_upper_camel_case())
}

/// The module of the types nested in a message, or of a package.
fn rust_module(path: &str) -> String {
    let parts: Vec<String> = path
        .trim_start_matches('.')
        .split('.')
        .map(|part| part.to_snake_case())
        .collect();
    format!("crate::{}", parts.join("::"))
}

fn rust_field(name: &str) -> String {
    let name = name.to_snake_case();
    if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}
