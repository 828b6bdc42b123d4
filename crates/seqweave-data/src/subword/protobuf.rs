//! As much of the wire format of protocol buffers as a SentencePiece model needs.

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'a> {
    /// Numbers, truth values and names of a list.
    Varint(u64),
    /// Four bytes.
    Fixed32(u32),
    /// Eight bytes, which no field that is read here has.
    Fixed64,
    /// Text, bytes, or a message within.
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        if let Field::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn number(self) -> Option<u64> {
        if let Field::Varint(number) = self { Some(number) } else { None }
    }

    pub(super) fn float(self) -> Option<f32> {
        if let Field::Fixed32(bits) = self { Some(f32::from_bits(bits)) } else { None }
    }
}

/// The fields of a message in order, each with its number; `None` for bytes that are no message.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut bytes)?),
            1 => take(&mut bytes, 8).map(|_| Field::Fixed64)?,
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                Field::Bytes(take(&mut bytes, len)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(take(&mut bytes, 4)?.try_into().ok()?)),
            _ => return None,
        };
        if key >> 3 == 0 {
            return None;
        }
        found.push((key >> 3, field));
    }
    Some(found)
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(front)
}

/// Seven bits a byte, the lowest first; the highest bit says that another byte follows.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order() {
        // field 1 = 300, field 2 = "ab", field 3 = 1.0f32, field 4 = eight bytes
        let message = [8, 0xAC, 2, 18, 2, b'a', b'b', 29, 0, 0, 0x80, 0x3F, 33, 1, 2, 3, 4, 5, 6, 7, 8];
        let found = fields(&message).unwrap();
        assert_eq!(found.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(
            (found[0].1.number(), found[1].1.text(), found[2].1.float()),
            (Some(300), Some("ab"), Some(1.0))
        );
        assert_eq!((found[0].1.text(), found[1].1.number(), found[3].1.bytes()), (None, None, None));
    }

    #[test]
    fn other_bytes_are_no_message() {
        for bytes in
            [&[8][..], &[8, 0x80], &[18, 5, 1], &[29, 0, 0], &[33, 1], &[11, 1], &[0, 1], &[0xFF; 12]]
        {
            assert_eq!(fields(bytes), None, "{bytes:?}");
        }
        assert_eq!(fields(&[]), Some(Vec::new()));
    }
}
