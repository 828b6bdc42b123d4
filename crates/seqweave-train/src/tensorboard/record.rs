//! The bytes of an event file: TFRecords around protobuf messages, as far as scalars and texts need them.
//!
//! ```text
//! record = length (u64)  masked CRC of the length (u32)  message  masked CRC of the message (u32)    little-endian
//! Event  = 1 wall_time (double)  2 step (int64)  and one of  3 file_version (string)  5 Summary  7 SessionLog
//! ```

/// A protobuf message that is being written: fields in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn varint(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        push_varint(&mut self.0, value);
        self
    }

    pub(super) fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A string, bytes, or a message inside.
    pub(super) fn bytes(mut self, field: u32, value: impl AsRef<[u8]>) -> Self {
        self.key(field, 2);
        push_varint(&mut self.0, value.as_ref().len() as u64);
        self.0.extend(value.as_ref());
        self
    }

    fn key(&mut self, field: u32, wire: u32) {
        push_varint(&mut self.0, u64::from(field << 3 | wire));
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A value of a field that is being read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed(&'a [u8]),
    Bytes(&'a [u8]),
}

/// The fields of a message, up to the first that is none.
pub(super) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u32, Value<'_>)> {
    std::iter::from_fn(move || {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Varint(take_varint(&mut bytes)?),
            1 => Value::Fixed(take(&mut bytes, 8)?),
            2 => {
                let count = take_varint(&mut bytes)?;
                Value::Bytes(take(&mut bytes, count)?)
            }
            5 => Value::Fixed(take(&mut bytes, 4)?),
            _ => return None,
        };
        Some(((key >> 3) as u32, value))
    })
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(usize::try_from(count).ok()?)?;
    *bytes = rest;
    Some(head)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A message with its length and checksums.
pub(super) fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(message);
    bytes.extend(masked_crc(message).to_le_bytes());
    bytes
}

/// The messages of a file with the places where their records begin, up to the first that is cut or damaged.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (start, head) = (at, bytes.get(at..at + 12)?);
        let length = usize::try_from(u64::from_le_bytes(head[..8].try_into().ok()?)).ok()?;
        let end = start.checked_add(12)?.checked_add(length)?;
        let message = bytes.get(start + 12..end)?;
        let sum = bytes.get(end..end.checked_add(4)?)?;
        let is_whole =
            head[8..] == masked_crc(&head[..8]).to_le_bytes() && *sum == masked_crc(message).to_le_bytes();
        at = end + 4;
        is_whole.then_some((start, message))
    })
}

/// A CRC-32C, turned and shifted so that a sum over data that hold sums stays one.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The sum of Castagnoli 1993, reflected: `x³² + x²⁸ + x²⁷ + … + 1`.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut sum, mut bit) = (i as u32, 0);
            while bit < 8 {
                sum = sum >> 1 ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 };
                bit += 1;
            }
            table[i] = sum;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |sum, &byte| sum >> 8 ^ TABLE[((sum ^ u32::from(byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let inner = Message::default().bytes(1, "tag").float(2, 1.5);
        let message = Message::default().double(1, 0.25).varint(2, 300).bytes(5, &inner);
        let read: Vec<_> = fields(message.as_ref()).collect();
        assert_eq!(read[0], (1, Value::Fixed(&0.25f64.to_le_bytes())));
        assert_eq!(read[1], (2, Value::Varint(300)));
        assert_eq!(read[2], (5, Value::Bytes(inner.as_ref())));
        assert_eq!(read.len(), 3);
        // Every beginning of it is read without a panic.
        (0..message.as_ref().len()).for_each(|n| assert!(fields(&message.as_ref()[..n]).count() < 3));
    }

    #[test]
    fn reading_ends_at_a_record_that_is_cut_or_damaged() {
        let bytes = [record(b"one"), record(b""), record(b"three")].concat();
        let read =
            |bytes: &[u8]| records(bytes).map(|(at, message)| (at, message.to_vec())).collect::<Vec<_>>();
        assert_eq!(read(&bytes), [(0, b"one".to_vec()), (19, vec![]), (35, b"three".to_vec())]);
        for cut in 36..bytes.len() {
            assert_eq!(read(&bytes[..cut]).len(), 2);
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            let whole = if at < 19 {
                0
            } else if at < 35 {
                1
            } else {
                2
            };
            assert_eq!(read(&damaged).len(), whole, "byte {at}");
        }
    }
}
