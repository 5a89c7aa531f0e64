//! The binary form of data (Avro 1.11, "Binary Encoding").

use super::schema::{AvroSchema, AvroType, TypeId};

/// So many values may be in each other.
const DEPTH_MAX: usize = 128;

/// Lists and maps may have so many more items than the body has bytes: items such as null take no bytes.
const EMPTY_ITEMS_MAX: usize = 1_024;

/// The words for the number of a branch in an error.
pub(super) const BRANCH: &str = "a branch of the union";

/// The words for the number of a symbol in an error.
pub(super) const SYMBOL: &str = "a symbol of the enum";

/// A place in a body, from which the datum is read on.
pub(super) struct Datum<'b> {
    pub(super) schema: &'b AvroSchema,
    pub(super) body: &'b [u8],
    pub(super) at: usize,
    depth: usize,
    /// The number of items that lists and maps may still have, so that no body takes more time than its length allows.
    items_left: usize,
}

/// A part of a body that is not the expected one.
pub(super) struct Broken {
    pub(super) expected: &'static str,
    /// Where it begins.
    pub(super) at: usize,
}

/// The items of a list or a map up to the next count, and where they end if the datum says that.
struct Block {
    count: usize,
    end: Option<usize>,
}

impl<'b> Datum<'b> {
    pub(super) fn new(schema: &'b AvroSchema, body: &'b [u8], at: usize) -> Datum<'b> {
        Datum { schema, body, at, depth: 0, items_left: body.len() + EMPTY_ITEMS_MAX }
    }

    /// Returns the next bytes.
    ///
    /// # Errors
    /// When the body has fewer.
    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'b [u8], Broken> {
        let taken = self.body[self.at..].get(..length);
        let taken = taken.ok_or(Broken { expected: "a value of its length", at: self.at })?;
        self.at += length;
        Ok(taken)
    }

    /// Returns the next bytes, as many as the number before them says.
    ///
    /// # Errors
    /// When the body has fewer.
    #[inline]
    pub(super) fn sized(&mut self) -> Result<&'b [u8], Broken> {
        let at = self.at;
        let length = usize::try_from(self.long()?);
        let taken = length.ok().and_then(|length| self.body[self.at..].get(..length));
        let taken = taken.ok_or(Broken { expected: "a length within the body", at })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// Reads an `int` or a `long`.
    ///
    /// # Errors
    /// When the body ends before, or the number has more than 64 bits.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Broken> {
        let mut number = 0_u64;
        for (place, byte) in self.body[self.at..].iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                break;
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                self.at += place + 1;
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err(Broken { expected: "a number of Avro", at: self.at })
    }

    /// Reads a number from 0 to before the `end`.
    ///
    /// # Errors
    /// When there is another number, or none.
    #[inline]
    pub(super) fn number_below(&mut self, end: usize, expected: &'static str) -> Result<usize, Broken> {
        let at = self.at;
        let number = usize::try_from(self.long()?).ok().filter(|number| *number < end);
        number.ok_or(Broken { expected, at })
    }

    fn block(&mut self) -> Result<Block, Broken> {
        let at = self.at;
        let count = self.long()?;
        let end = match count < 0 {
            true => {
                let length = usize::try_from(self.long()?).ok();
                let end = length.and_then(|length| self.at.checked_add(length));
                Some(end.ok_or(Broken { expected: "a length", at })?)
            }
            false => None,
        };
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        let left = self.items_left.checked_sub(count);
        self.items_left = left.ok_or(Broken { expected: "a number of items within the body", at })?;
        Ok(Block { count, end })
    }

    /// Calls a function for each item of a list or a map.
    ///
    /// # Errors
    /// The errors of `read`, and an error for a broken block, such as one that is not as long as it says.
    pub(super) fn items<E: From<Broken>>(
        &mut self,
        mut read: impl FnMut(&mut Datum<'b>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let at = self.at;
            let Block { count, end } = self.block()?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                read(self)?;
            }
            if end.is_some_and(|end| end != self.at) {
                return Err(Broken { expected: "a block of its length", at }.into());
            }
        }
    }

    /// Goes behind a value. A broken value is refused as if it was read.
    ///
    /// # Errors
    /// When it is none of its type.
    pub(super) fn skip(&mut self, id: TypeId) -> Result<(), Broken> {
        if self.depth == DEPTH_MAX {
            return Err(Broken { expected: "a value with at most 128 levels", at: self.at });
        }
        self.depth += 1;
        let schema = self.schema;
        match schema.of(id) {
            AvroType::Null => {}
            AvroType::Boolean => {
                let at = self.at;
                if !matches!(self.take(1)?, [0 | 1]) {
                    return Err(Broken { expected: "a Bool", at });
                }
            }
            AvroType::Long | AvroType::Time(_) => drop(self.long()?),
            AvroType::Enum(symbols) => {
                self.number_below(symbols.len(), SYMBOL)?;
            }
            AvroType::Float => drop(self.take(4)?),
            AvroType::Double => drop(self.take(8)?),
            AvroType::Fixed(size) | AvroType::Decimal(_, Some(size)) => drop(self.take(*size)?),
            AvroType::Bytes | AvroType::Decimal(_, None) => drop(self.sized()?),
            AvroType::String => self.skip_text()?,
            AvroType::Union(branches) => {
                let branch = self.number_below(branches.len(), BRANCH)?;
                self.skip(branches[branch])?;
            }
            AvroType::Record(fields) => {
                for (_, field) in fields {
                    self.skip(*field)?;
                }
            }
            AvroType::Array(items) => self.skip_items(*items, false)?,
            AvroType::Map(values) => self.skip_items(*values, true)?,
        }
        self.depth -= 1;
        Ok(())
    }

    fn skip_items(&mut self, items: TypeId, has_keys: bool) -> Result<(), Broken> {
        self.items(|datum| {
            if has_keys {
                datum.skip_text()?;
            }
            datum.skip(items)
        })
    }

    fn skip_text(&mut self) -> Result<(), Broken> {
        let at = self.at;
        match simdutf8::basic::from_utf8(self.sized()?) {
            Ok(_) => Ok(()),
            Err(_) => Err(Broken { expected: "a Text", at }),
        }
    }
}
