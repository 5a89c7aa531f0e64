//! Columns of texts and bytes: views into the bodies' own buffers, so that a value costs no copy.

use arrow_array::{BinaryViewArray, StringViewArray};
use arrow_buffer::{Buffer, NullBufferBuilder};
use arrow_data::{ByteView, MAX_INLINE_VIEW_LEN};
use arrow_schema::ArrowError;

/// A buffer for values that are not in a body as they are, such as texts with escapes, ends at this size.
const OWN_BYTES_MAX: usize = 1 << 30;

/// The views of a column.
pub(super) struct Views {
    views: Vec<u128>,
    nulls: NullBufferBuilder,
    /// The buffers of the bodies, which come first.
    body_buffers: u32,
    full: Vec<Buffer>,
    own: Vec<u8>,
}

impl Views {
    /// Makes an empty column with space for `rows` values of these bodies.
    pub(super) fn new(bodies: &BinaryViewArray, rows: usize) -> Views {
        Views {
            views: Vec::with_capacity(rows),
            nulls: NullBufferBuilder::new(rows),
            // A batch has far fewer than 2^32 buffers.
            body_buffers: bodies.data_buffers().len() as u32,
            full: Vec::new(),
            own: Vec::new(),
        }
    }

    pub(super) fn append_null(&mut self) {
        self.views.push(0);
        self.nulls.append_null();
    }

    /// Appends bytes that stand at offset `begin` of the body with this view.
    #[inline]
    pub(super) fn append(&mut self, body: u128, found: &[u8], begin: usize) {
        // A body is at most some mebibytes long, and its buffer shorter than 2^32 bytes.
        self.push(found, |view| {
            let body = ByteView::from(body);
            view.with_buffer_index(body.buffer_index).with_offset(body.offset + begin as u32)
        });
    }

    /// Appends a copy of bytes that are no part of a body.
    pub(super) fn append_copy(&mut self, bytes: &[u8]) {
        if self.own.len() + bytes.len() > OWN_BYTES_MAX {
            self.full.push(std::mem::take(&mut self.own).into());
        }
        let (index, offset) = (self.body_buffers + self.full.len() as u32, self.own.len() as u32);
        if bytes.len() > MAX_INLINE_VIEW_LEN as usize {
            self.own.extend_from_slice(bytes);
        }
        self.push(bytes, |view| view.with_buffer_index(index).with_offset(offset));
    }

    #[inline]
    fn push(&mut self, found: &[u8], place: impl FnOnce(ByteView) -> ByteView) {
        let view = match found.len() as u32 {
            length if length <= MAX_INLINE_VIEW_LEN => {
                let mut inline = [0; 16];
                inline[..4].copy_from_slice(&length.to_le_bytes());
                inline[4..4 + found.len()].copy_from_slice(found);
                u128::from_le_bytes(inline)
            }
            length => place(ByteView::new(length, &found[..4])).as_u128(),
        };
        self.views.push(view);
        self.nulls.append_non_null();
    }

    fn finish(self, bodies: &BinaryViewArray) -> (Vec<u128>, Vec<Buffer>, NullBufferBuilder) {
        let mut buffers = bodies.data_buffers().to_vec();
        buffers.extend(self.full);
        if !self.own.is_empty() {
            buffers.push(self.own.into());
        }
        (self.views, buffers, self.nulls)
    }

    /// Returns the column of bytes.
    ///
    /// # Errors
    /// When Arrow refuses the views.
    pub(super) fn bytes(self, bodies: &BinaryViewArray) -> Result<BinaryViewArray, ArrowError> {
        let (views, buffers, mut nulls) = self.finish(bodies);
        BinaryViewArray::try_new(views.into(), buffers, nulls.finish())
    }

    /// Returns the column of texts.
    ///
    /// # Errors
    /// When a value is not UTF-8.
    pub(super) fn texts(self, bodies: &BinaryViewArray) -> Result<StringViewArray, ArrowError> {
        let (views, buffers, mut nulls) = self.finish(bodies);
        StringViewArray::try_new(views.into(), buffers, nulls.finish())
    }

    /// The number of values.
    pub(super) fn len(&self) -> usize {
        self.views.len()
    }
}
