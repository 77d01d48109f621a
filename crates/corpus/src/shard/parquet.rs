//! The manifest as Parquet, for pandas, Arrow and whatever loads data sets by columns.
//!
//! The smallest part of the format that every reader knows: plain encoding, no compression, one data page
//! a column and row group, metadata in Thrift's compact protocol (the specification `apache/parquet-format`,
//! `parquet.thrift`). The columns are the manifest's keys: `shard` and `labels_shard` are structures, and
//! what is stored as features has a part `features` of the former in JSON; keys that this program does not
//! know become columns of text, whole numbers, numbers or booleans where
//! all their values are such, else of JSON. The manifest is walked twice, first for its keys.

use super::ShardRange;
use crate::features::stored_features;
use crate::manifest::Utterance;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

const MAGIC: &[u8; 4] = b"PAR1";

/// Rows in a row group, about: as many as fit before a shard's would pass it.
const ROWS: usize = 1 << 16;

/// Walks through all utterances, some at a time.
pub(super) type Walk<'a> =
    &'a mut dyn FnMut(&mut dyn FnMut(&[Utterance]) -> io::Result<()>) -> io::Result<()>;

/// Writes the file.
pub(super) fn write(writer: &mut impl Write, walk: Walk<'_>) -> io::Result<()> {
    write_groups(writer, walk, ROWS)
}

fn write_groups(writer: &mut impl Write, walk: Walk<'_>, most_rows: usize) -> io::Result<()> {
    let mut extra: BTreeMap<String, Kind> = BTreeMap::new();
    let mut features = false;
    walk(&mut |utterances| {
        features |= utterances.iter().any(|utterance| stored_features(utterance).is_some());
        for (key, value) in utterances.iter().flat_map(|utterance| &utterance.extra) {
            let Some(kind) = Kind::of(value) else { continue };
            let known = extra.entry(key.clone()).or_insert(kind);
            *known = known.joined(kind);
        }
        Ok(())
    })?;
    let mut file =
        File { writer, position: 0, columns: columns(extra, features), groups: Vec::new() };
    file.put(MAGIC)?;
    let mut rows: Vec<Utterance> = Vec::new();
    walk(&mut |utterances| {
        if rows.len() + utterances.len() > most_rows && !rows.is_empty() {
            file.row_group(&rows)?;
            rows.clear();
        }
        rows.extend_from_slice(utterances);
        Ok(())
    })?;
    if !rows.is_empty() {
        file.row_group(&rows)?;
    }
    file.finish()
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Boolean,
    Whole,
    Number,
    Text,
    Json,
}

impl Kind {
    /// `None` for a null, which stands in any column.
    fn of(value: &Json) -> Option<Self> {
        Some(match value {
            Json::Null => return None,
            Json::Bool(_) => Self::Boolean,
            Json::Number(number) if number.is_i64() => Self::Whole,
            Json::Number(_) => Self::Number,
            Json::String(_) => Self::Text,
            Json::Array(_) | Json::Object(_) => Self::Json,
        })
    }

    fn joined(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Whole | Self::Number, Self::Whole | Self::Number) => Self::Number,
            _ => Self::Json,
        }
    }

    /// `Type` of parquet.thrift.
    fn physical(self) -> i32 {
        match self {
            Self::Boolean => 0,
            Self::Whole => 2,
            Self::Number => 5,
            Self::Text | Self::Json => 6,
        }
    }

    /// `ConvertedType` of parquet.thrift.
    fn converted(self) -> Option<i32> {
        match self {
            Self::Text => Some(0),
            Self::Json => Some(19),
            _ => None,
        }
    }
}

/// One value of a column.
enum Value<'a> {
    Boolean(bool),
    Whole(i64),
    Number(f64),
    Text(Cow<'a, str>),
}

type Getter = Box<dyn for<'a> Fn(&'a Utterance) -> Option<Value<'a>>>;

/// A column, or a part of one that is a structure.
struct Column {
    /// The key, and within a structure the part.
    path: Vec<String>,
    kind: Kind,
    /// May be absent; a part of a structure is where the structure is.
    optional: bool,
    get: Getter,
}

fn column<F>(name: &str, kind: Kind, optional: bool, get: F) -> Column
where
    F: for<'a> Fn(&'a Utterance) -> Option<Value<'a>> + 'static,
{
    Column { path: vec![name.to_owned()], kind, optional, get: Box::new(get) }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn columns(extra: BTreeMap<String, Kind>, features: bool) -> Vec<Column> {
    let mut columns = vec![
        column("id", Kind::Text, false, |u| Some(text(&u.id))),
        column("audio_filepath", Kind::Text, false, |u| Some(text(&u.audio_filepath))),
        column("duration", Kind::Number, false, |u| Some(Value::Number(u.duration))),
        column("text", Kind::Text, false, |u| Some(text(&u.text))),
        column("speaker", Kind::Text, true, |u| u.speaker.as_deref().map(text)),
        column("labels", Kind::Text, true, |u| u.labels.as_deref().map(text)),
        column("encoding", Kind::Text, true, |u| {
            u.encoding.map(|encoding| Value::Text(Cow::Owned(encoding.to_string())))
        }),
        column("sample_rate", Kind::Whole, true, |u| {
            u.sample_rate.map(|rate| Value::Whole(rate.into()))
        }),
        column("channels", Kind::Whole, true, |u| {
            u.channels.map(|channels| Value::Whole(channels.into()))
        }),
    ];
    columns.extend(structure("shard", |u| u.shard.as_deref()));
    if features {
        columns.push(Column {
            path: vec!["shard".to_owned(), "features".to_owned()],
            kind: Kind::Json,
            optional: true,
            get: Box::new(|u| {
                let stored = serde_json::to_string(&u.shard.as_deref()?.features).ok()?;
                Some(Value::Text(Cow::Owned(stored)))
            }),
        });
    }
    columns.extend(structure("labels_shard", |u| u.labels_shard.as_deref()));
    for (key, kind) in extra {
        let name = key.clone();
        columns.push(column(&name, kind, true, move |u| {
            let value = u.extra.get(&key).filter(|value| !value.is_null())?;
            Some(match kind {
                Kind::Boolean => Value::Boolean(value.as_bool()?),
                Kind::Whole => Value::Whole(value.as_i64()?),
                Kind::Number => Value::Number(value.as_f64()?),
                Kind::Text => text(value.as_str()?),
                Kind::Json => Value::Text(Cow::Owned(value.to_string())),
            })
        }));
    }
    columns
}

/// The parts of a range.
fn structure(
    name: &'static str,
    range: for<'a> fn(&'a Utterance) -> Option<&'a ShardRange>,
) -> impl Iterator<Item = Column> {
    let part = move |part: &str, kind, get: Getter| Column {
        path: vec![name.to_owned(), part.to_owned()],
        kind,
        optional: true,
        get,
    };
    let whole = |number: u64| Value::Whole(i64::try_from(number).unwrap_or(i64::MAX));
    [
        part("file", Kind::Text, Box::new(move |u| Some(text(&range(u)?.file)))),
        part("offset", Kind::Whole, Box::new(move |u| Some(whole(range(u)?.offset)))),
        part("bytes", Kind::Whole, Box::new(move |u| Some(whole(range(u)?.bytes)))),
        part(
            "digest",
            Kind::Text,
            Box::new(move |u| {
                let digest = crate::manifest::hexadecimal(&range(u)?.digest.0);
                Some(Value::Text(Cow::Owned(digest)))
            }),
        ),
    ]
    .into_iter()
}

/// Where a column's part of a row group lies.
struct Chunk {
    offset: u64,
    bytes: u64,
}

struct RowGroup {
    rows: usize,
    chunks: Vec<Chunk>,
}

struct File<'a, W: Write> {
    writer: &'a mut W,
    position: u64,
    columns: Vec<Column>,
    groups: Vec<RowGroup>,
}

impl<W: Write> File<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn row_group(&mut self, rows: &[Utterance]) -> io::Result<()> {
        let mut chunks = Vec::with_capacity(self.columns.len());
        for index in 0..self.columns.len() {
            let page = page(&self.columns[index], rows)?;
            chunks.push(Chunk { offset: self.position, bytes: page.len() as u64 });
            self.put(&page)?;
        }
        self.groups.push(RowGroup { rows: rows.len(), chunks });
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let mut footer = Thrift::default();
        footer.number(1, 5, 1);
        self.schema(&mut footer);
        let rows: usize = self.groups.iter().map(|group| group.rows).sum();
        footer.number(3, 6, rows as i64);
        footer.list(4, 12, self.groups.len());
        for group in &self.groups {
            self.group(&mut footer, group);
        }
        footer.text(6, "labyrinth");
        footer.end();
        let length = length_of(footer.bytes.len())?;
        self.put(&footer.bytes)?;
        self.put(&length)?;
        self.put(MAGIC)
    }

    /// `list<SchemaElement>`: the root, and each column behind the structure that it is part of.
    fn schema(&self, footer: &mut Thrift) {
        let mut names: Vec<&str> = self.columns.iter().map(|c| c.path[0].as_str()).collect();
        names.dedup();
        let structures = self.columns.iter().filter(|c| c.path.len() == 2 && c.path[1] == "file");
        footer.list(2, 12, 1 + self.columns.len() + structures.count());
        footer.begin();
        footer.text(4, "manifest");
        footer.number(5, 5, names.len() as i64);
        footer.end();
        let mut open = "";
        for column in &self.columns {
            let within = column.path.len() == 2;
            if within && column.path[0] != open {
                open = &column.path[0];
                let parts = self.columns.iter().filter(|c| c.path.len() == 2 && c.path[0] == open);
                footer.begin();
                footer.number(3, 5, 1);
                footer.text(4, open);
                footer.number(5, 5, parts.count() as i64);
                footer.end();
            }
            footer.begin();
            footer.number(1, 5, column.kind.physical().into());
            footer.number(3, 5, i64::from(column.optional && !within));
            footer.text(4, column.path.last().map_or("", String::as_str));
            if let Some(converted) = column.kind.converted() {
                footer.number(6, 5, converted.into());
            }
            footer.end();
        }
    }

    /// `RowGroup`.
    fn group(&self, footer: &mut Thrift, group: &RowGroup) {
        footer.begin();
        footer.list(1, 12, group.chunks.len());
        for (column, chunk) in self.columns.iter().zip(&group.chunks) {
            footer.begin();
            footer.number(2, 6, chunk.offset as i64);
            footer.structure(3);
            footer.number(1, 5, column.kind.physical().into());
            footer.list(2, 5, 2); // encodings: plain values, levels in runs
            footer.zigzag(0);
            footer.zigzag(3);
            footer.list(3, 8, column.path.len());
            column.path.iter().for_each(|part| footer.bytes_of(part));
            footer.number(4, 5, 0); // no compression
            footer.number(5, 6, group.rows as i64);
            footer.number(6, 6, chunk.bytes as i64);
            footer.number(7, 6, chunk.bytes as i64);
            footer.number(9, 6, chunk.offset as i64);
            footer.end();
            footer.end();
        }
        let bytes: u64 = group.chunks.iter().map(|chunk| chunk.bytes).sum();
        footer.number(2, 6, bytes as i64);
        footer.number(3, 6, group.rows as i64);
        footer.end();
    }
}

/// A data page with its header: which rows have a value, where some may lack it, and the values.
fn page(column: &Column, rows: &[Utterance]) -> io::Result<Vec<u8>> {
    let mut values = Vec::new();
    let mut present = Vec::with_capacity(rows.len());
    let mut bits = 0;
    for row in rows {
        let value = (column.get)(row);
        present.push(value.is_some());
        match value {
            Some(Value::Boolean(value)) => {
                if bits % 8 == 0 {
                    values.push(0);
                }
                if let Some(last) = values.last_mut() {
                    *last |= u8::from(value) << (bits % 8);
                }
                bits += 1;
            }
            Some(Value::Whole(value)) => values.extend_from_slice(&value.to_le_bytes()),
            Some(Value::Number(value)) => values.extend_from_slice(&value.to_le_bytes()),
            Some(Value::Text(text)) => {
                values.extend_from_slice(&length_of(text.len())?);
                values.extend_from_slice(text.as_bytes());
            }
            None => {}
        }
    }
    let mut body = Vec::new();
    if column.optional {
        let mut levels = Thrift::default();
        for run in present.chunk_by(|a, b| a == b) {
            levels.varint((run.len() as u64) << 1);
            levels.bytes.push(u8::from(run[0]));
        }
        body.extend_from_slice(&length_of(levels.bytes.len())?);
        body.append(&mut levels.bytes);
    }
    body.append(&mut values);
    length_of(body.len())?;
    let mut header = Thrift::default();
    header.number(1, 5, 0); // a data page
    header.number(2, 5, body.len() as i64);
    header.number(3, 5, body.len() as i64);
    header.structure(5);
    header.number(1, 5, rows.len() as i64);
    header.number(2, 5, 0); // plain
    header.number(3, 5, 3); // levels in runs
    header.number(4, 5, 3);
    header.end();
    header.end();
    header.bytes.append(&mut body);
    Ok(header.bytes)
}

/// A length in four bytes.
fn length_of(length: usize) -> io::Result<[u8; 4]> {
    let length = i32::try_from(length).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "a column of Parquet is longer than 2 GiB")
    })?;
    Ok(length.to_le_bytes())
}

/// Thrift's compact protocol: fields by the difference to the field before, numbers in groups of 7 bits.
struct Thrift {
    bytes: Vec<u8>,
    /// The last field of each structure that is open.
    last: Vec<u8>,
}

impl Default for Thrift {
    /// One structure is open.
    fn default() -> Self {
        Self { bytes: Vec::new(), last: vec![0] }
    }
}

impl Thrift {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    fn field(&mut self, field: u8, kind: u8) {
        if let Some(last) = self.last.last_mut() {
            debug_assert!(field > *last && field - *last < 16);
            self.bytes.push((field - *last) << 4 | kind);
            *last = field;
        }
    }

    /// A number; its kind is 5 for 32 bits and 6 for 64.
    fn number(&mut self, field: u8, kind: u8, value: i64) {
        self.field(field, kind);
        self.zigzag(value);
    }

    fn text(&mut self, field: u8, text: &str) {
        self.field(field, 8);
        self.bytes_of(text);
    }

    fn bytes_of(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn list(&mut self, field: u8, kind: u8, count: usize) {
        self.field(field, 9);
        if count < 15 {
            self.bytes.push((count as u8) << 4 | kind);
        } else {
            self.bytes.push(0xf0 | kind);
            self.varint(count as u64);
        }
    }

    fn structure(&mut self, field: u8) {
        self.field(field, 12);
        self.begin();
    }

    /// Opens a structure that is an element of a list.
    fn begin(&mut self) {
        self.last.push(0);
    }

    fn end(&mut self) {
        self.last.pop();
        self.bytes.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use std::path::Path;

    /// The bytes that pyarrow reads as the lines of the manifest beside them: see `read_parquet.py` there.
    #[test]
    fn the_bytes_are_those_that_pyarrow_reads() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let manifest = Manifest::read(&golden.join("manifest.jsonl")).unwrap();
        let mut bytes = Vec::new();
        let mut walk = |each: &mut dyn FnMut(&[Utterance]) -> io::Result<()>| {
            manifest.utterances.chunks(2).try_for_each(each)
        };
        write_groups(&mut bytes, &mut walk, 5).unwrap();
        if std::fs::read(golden.join("manifest.parquet")).unwrap_or_default() != bytes {
            let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            let path = file.into_temp_path().keep().unwrap();
            panic!(
                "other bytes: if pyarrow reads {}, they may become the golden ones",
                path.display()
            );
        }
    }
}
