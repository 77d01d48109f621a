//! A pickle machine that knows a state dict of tensors, and nothing else.
//!
//! A pickle is a program for a stack machine, and in Python it may call anything. Here its few instructions
//! build lists, dictionaries and descriptions of tensors; the names it may use are in [`Known`], and
//! each stands for something that this file does itself. Any other name ends the reading and is told to the user.
//! Opcodes: Python's `pickletools`; what PyTorch writes: `torch/serialization.py`, `torch/_utils.py`.
//!
//! Everything built lies in one list ([`Machine::objects`]) and is referred to by its place, so that what a
//! pickle says twice, or of itself, takes no more memory than the pickle.

use std::collections::HashMap;

/// The types of number that a storage may hold, and their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Double,
    Half,
    BFloat16,
    Long,
    Int,
    Short,
    Char,
    Byte,
    Bool,
}

impl Kind {
    /// Bytes of a value.
    pub fn size(self) -> usize {
        match self {
            Self::Double | Self::Long => 8,
            Self::Float | Self::Int => 4,
            Self::Half | Self::BFloat16 | Self::Short => 2,
            Self::Char | Self::Byte | Self::Bool => 1,
        }
    }
}

/// The names that a state dict uses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

impl Known {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", name) => Self::Storage(match name.strip_suffix("Storage")? {
                "Float" => Kind::Float,
                "Double" => Kind::Double,
                "Half" => Kind::Half,
                "BFloat16" => Kind::BFloat16,
                "Long" => Kind::Long,
                "Int" => Kind::Int,
                "Short" => Kind::Short,
                "Char" => Kind::Char,
                "Byte" => Kind::Byte,
                "Bool" => Kind::Bool,
                _ => return None,
            }),
            _ => return None,
        })
    }
}

/// A value; what has parts is the place of an [`Object`].
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    /// What nobody here looks at: none, floating-point numbers, bytes.
    Other,
    Int(i64),
    Text(&'a str),
    Known(Known),
    Object(usize),
}

#[derive(Debug)]
enum Object<'a> {
    Sequence(Vec<Value<'a>>),
    Dictionary(Vec<(Value<'a>, Value<'a>)>),
    Storage(StorageName<'a>),
    Tensor(Tensor<'a>),
}

/// Which of the archive's storages, and what it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorageName<'a> {
    pub kind: Kind,
    /// The entry is called `data/KEY`.
    pub key: &'a str,
    /// Values in it.
    pub len: usize,
}

/// A view of a storage.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    pub storage: StorageName<'a>,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// Why a pickle is refused.
#[derive(Debug)]
pub(super) enum Fault {
    /// A name that is none of [`Known`], or a call of something that cannot be called.
    Code(String),
    /// It is broken, or uses what no state dict needs.
    Broken(String),
}

fn broken<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Broken(reason.into()))
}

type Step<T> = Result<T, Fault>;

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    objects: Vec<Object<'a>>,
}

/// The tensors of the state dict that a pickle builds, by name; a later one of the same name wins.
///
/// The state dict may also lie under `state_dict`, `model_state_dict` or `model` of a checkpoint.
pub(super) fn tensors(pickle: &[u8]) -> Result<HashMap<String, Tensor<'_>>, Fault> {
    let mut machine = Machine {
        bytes: pickle,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Vec::new(),
    };
    let mut top = machine.run()?;
    // A checkpoint inside a checkpoint may be; deeper ones are nobody's.
    for _ in 0..3 {
        let Value::Object(place) = top else { break };
        let Object::Dictionary(items) = &machine.objects[place] else { break };
        let mut found = HashMap::new();
        for (key, value) in items {
            if let (Value::Text(name), Value::Object(place)) = (key, value)
                && let Object::Tensor(tensor) = &machine.objects[*place]
            {
                found.insert((*name).to_owned(), tensor.clone());
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let inner = ["state_dict", "model_state_dict", "model"].iter().find_map(|wanted| {
            let is = |key: &Value<'_>| matches!(key, Value::Text(name) if name == wanted);
            items.iter().rev().find(|(key, _)| is(key)).map(|(_, value)| *value)
        });
        let Some(inner) = inner else { break };
        top = inner;
    }
    broken("it holds no dictionary of tensors; save model.state_dict() in PyTorch")
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step<Value<'a>> {
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                0x80 => drop(self.take(1)?), // PROTO
                0x95 => drop(self.take(8)?), // FRAME
                b'.' => return self.pop(),   // STOP
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.stack.push(Value::Other),
                0x88 => self.stack.push(Value::Int(1)), // NEWTRUE
                0x89 => self.stack.push(Value::Int(0)), // NEWFALSE
                b'K' => self.integer(1)?,
                b'M' => self.integer(2)?,
                b'J' => self.integer(4)?,
                0x8a => {
                    let size = self.size(1)?; // LONG1
                    self.integer(size)?;
                }
                b'G' => {
                    self.take(8)?; // BINFLOAT
                    self.stack.push(Value::Other);
                }
                b'X' => self.text(4)?,
                0x8c => self.text(1)?, // SHORT_BINUNICODE
                b'U' => self.text(1)?,
                b'T' => self.text(4)?,
                b'C' => self.raw(1)?,
                b'B' => self.raw(4)?,
                b'}' => self.build(Object::Dictionary(Vec::new())),
                b']' | b')' => self.build(Object::Sequence(Vec::new())),
                b't' | b'l' => {
                    let values = self.since_mark()?;
                    self.build(Object::Sequence(values));
                }
                0x85..=0x87 => {
                    let wanted = usize::from(opcode - 0x84); // TUPLE1, TUPLE2, TUPLE3
                    let Some(first) = self.stack.len().checked_sub(wanted) else {
                        return self.underflow();
                    };
                    let values = self.stack.split_off(first);
                    self.build(Object::Sequence(values));
                }
                b'd' => {
                    let values = self.since_mark()?;
                    self.build(Object::Dictionary(Vec::new()));
                    self.set(values)?;
                }
                b'a' => {
                    let value = self.pop()?;
                    self.append(vec![value])?;
                }
                b'e' => {
                    let values = self.since_mark()?;
                    self.append(values)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set(vec![key, value])?;
                }
                b'u' => {
                    let values = self.since_mark()?;
                    self.set(values)?;
                }
                b'q' => {
                    let key = self.size(1)?;
                    self.remember(key as u64)?;
                }
                b'r' => {
                    let key = self.size(4)?;
                    self.remember(key as u64)?;
                }
                0x94 => self.remember(self.memo.len() as u64)?, // MEMOIZE
                b'h' => {
                    let key = self.size(1)?;
                    self.recall(key as u64)?;
                }
                b'j' => {
                    let key = self.size(4)?;
                    self.recall(key as u64)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.name(module, name)?;
                }
                0x93 => {
                    // STACK_GLOBAL
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Value::Text(module), Value::Text(name)) = (module, name) else {
                        return broken("a name in it is no text");
                    };
                    self.name(module, name)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.build(Object::Storage(storage));
                }
                b'R' => self.call()?,
                b'b' => {
                    // BUILD: a state dict's own attributes, which hold versions and no weights.
                    self.pop()?;
                    match self.stack.last() {
                        Some(&Value::Object(place))
                            if matches!(self.objects[place], Object::Dictionary(_)) => {}
                        _ => return Err(Fault::Code("an object's own way to be built".into())),
                    }
                }
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    return Err(Fault::Code(format!("{module}.{name}")));
                }
                other => return broken(format!("the instruction {other:#04x} has no place in it")),
            }
        }
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else { return broken("data.pkl in it ends too early") };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A number without sign of so many bytes.
    fn size(&mut self, bytes: usize) -> Step<usize> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte)))
    }

    /// Pushes a whole number; those of 4 bytes and those of any length have a sign.
    fn integer(&mut self, bytes: usize) -> Step<()> {
        let digits = self.take(bytes)?;
        if bytes > 8 {
            self.stack.push(Value::Other); // larger than any size or offset
            return Ok(());
        }
        let negative = bytes > 2 && digits.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes].copy_from_slice(digits);
        self.stack.push(Value::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn text(&mut self, bytes: usize) -> Step<()> {
        let size = self.size(bytes)?;
        match std::str::from_utf8(self.take(size)?) {
            Ok(text) => self.stack.push(Value::Text(text)),
            Err(_) => return broken("a text in it is not UTF-8"),
        }
        Ok(())
    }

    fn raw(&mut self, bytes: usize) -> Step<()> {
        let size = self.size(bytes)?;
        self.take(size)?;
        self.stack.push(Value::Other);
        Ok(())
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return broken("data.pkl in it ends too early");
        };
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).or_else(|_| broken("a name in it is not UTF-8"))
    }

    fn underflow<T>(&self) -> Step<T> {
        broken(format!("byte {} of data.pkl in it takes what is not there", self.at))
    }

    fn pop(&mut self) -> Step<Value<'a>> {
        // What lies below a mark belongs to someone else.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return self.underflow();
        }
        self.stack.pop().map_or_else(|| self.underflow(), Ok)
    }

    fn since_mark(&mut self) -> Step<Vec<Value<'a>>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.underflow(),
        }
    }

    fn build(&mut self, object: Object<'a>) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    /// The object on the top of the stack.
    fn top(&mut self) -> Step<&mut Object<'a>> {
        match self.stack.last() {
            Some(&Value::Object(place)) => Ok(&mut self.objects[place]),
            _ => self.underflow(),
        }
    }

    fn append(&mut self, values: Vec<Value<'a>>) -> Step<()> {
        match self.top()? {
            Object::Sequence(sequence) => sequence.extend(values),
            _ => return self.underflow(),
        }
        Ok(())
    }

    fn set(&mut self, values: Vec<Value<'a>>) -> Step<()> {
        let (pairs, rest) = values.as_chunks::<2>();
        match self.top()? {
            Object::Dictionary(items) if rest.is_empty() => {
                items.extend(pairs.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => self.underflow(),
        }
    }

    fn remember(&mut self, key: u64) -> Step<()> {
        match self.stack.last() {
            Some(&value) => drop(self.memo.insert(key, value)),
            None => return self.underflow(),
        }
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Step<()> {
        match self.memo.get(&key) {
            Some(&value) => self.stack.push(value),
            None => return self.underflow(),
        }
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Step<()> {
        match Known::named(module, name) {
            Some(known) => self.stack.push(Value::Known(known)),
            None => return Err(Fault::Code(format!("{module}.{name}"))),
        }
        Ok(())
    }

    fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        let Value::Object(place) = value else { return None };
        match &self.objects[place] {
            Object::Sequence(values) => Some(values),
            _ => None,
        }
    }

    /// A sequence of sizes or offsets, none of them negative.
    fn sizes(&self, value: Value<'a>) -> Option<Vec<usize>> {
        self.sequence(value)?.iter().map(|&value| whole(value)).collect()
    }

    /// `("storage", type, key, device, values)`.
    fn storage(&self, id: Value<'a>) -> Step<StorageName<'a>> {
        match self.sequence(id) {
            Some(
                &[
                    Value::Text("storage"),
                    Value::Known(Known::Storage(kind)),
                    Value::Text(key),
                    _,
                    len,
                ],
            ) if let Some(len) = whole(len) => Ok(StorageName { kind, key, len }),
            _ => broken("a storage in it is not described as PyTorch does"),
        }
    }

    /// REDUCE: the few things that may be called.
    fn call(&mut self) -> Step<()> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let Value::Known(function) = function else {
            return Err(Fault::Code("something that is no name".into()));
        };
        match function {
            Known::OrderedDict => {
                self.build(Object::Dictionary(Vec::new()));
                // An empty one, or the pairs it begins with: `OrderedDict([[key, value], …])`.
                let pairs = match self.sequence(arguments) {
                    Some(&[pairs]) => self.sequence(pairs).unwrap_or_default().to_vec(),
                    _ => Vec::new(),
                };
                for pair in pairs {
                    let pair = self.sequence(pair).unwrap_or_default().to_vec();
                    if pair.len() != 2 {
                        return broken("a dictionary in it is not made of pairs");
                    }
                    self.set(pair)?;
                }
            }
            Known::RebuildTensor => {
                let tensor = self.tensor(arguments);
                let Some(tensor) = tensor else {
                    return broken("a tensor in it is not described as PyTorch does");
                };
                self.build(Object::Tensor(tensor));
            }
            // (tensor, requires_grad, hooks)
            Known::RebuildParameter => match self.sequence(arguments) {
                Some(&[tensor, ..]) => self.stack.push(tensor),
                _ => return broken("a parameter in it is not described as PyTorch does"),
            },
            Known::Storage(kind) => {
                return Err(Fault::Code(format!("torch.{kind:?}Storage outside of a tensor")));
            }
        }
        Ok(())
    }

    /// `(storage, offset, shape, strides, requires_grad, hooks)`.
    fn tensor(&self, arguments: Value<'a>) -> Option<Tensor<'a>> {
        let &[Value::Object(place), offset, shape, strides, ..] = self.sequence(arguments)? else {
            return None;
        };
        let Object::Storage(storage) = &self.objects[place] else { return None };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        let fits = shape.len() == strides.len();
        fits.then_some(Tensor { storage: *storage, offset: whole(offset)?, shape, strides })
    }
}

fn whole(value: Value<'_>) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    }
}
