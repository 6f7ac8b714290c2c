//! Large values and what sled holds of them, byte by byte.
//!
//! ```text
//! in sled      00 v…                                a value
//!              01 file u64 · offset u64 · length u32 · CRC-32C of the value u32
//!              under the key ff file u64:           bytes of that file u64 · bytes of it that are wanted u64
//! in a file    key length u32 · value length u32 · CRC-32C of the value u32 · CRC-32C of these and the key u32 · key · value
//! ```
//! All numbers are big-endian. The store has no key that begins with ff. The keys lie in the files so that one which is
//! mostly garbage can be looked through without looking at all keys. Pure.

use std::fmt;
use std::io;

/// The first byte of the keys that are the engine's own.
pub(in crate::sled_engine) const RESERVED: u8 = 0xff;
/// Bytes before the key of a record.
pub(super) const HEAD_BYTES: usize = 16;
/// No key of the store is longer, in bytes: users and roles have the longest, and those fit in a request.
pub(super) const KEY_BYTES_MAX: usize = 16 << 20;

const NEAR: u8 = 0;
const FAR: u8 = 1;
const POINTER_BYTES: usize = 25;

/// What sled holds under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored<'a> {
    /// The value.
    Near(&'a [u8]),
    /// Where the value is.
    Far(Pointer),
}

/// Where a large value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) file: u64,
    /// Of the record in the file.
    pub(super) offset: u64,
    /// Of the value.
    pub(super) len: u32,
    /// Of the value.
    pub(super) checksum: u32,
}

/// How long a file is, and how much of it is wanted, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) bytes: u64,
    pub(super) wanted: u64,
}

/// The beginning of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) key_len: u32,
    len: u32,
    value_checksum: u32,
}

/// What sled is given for a value that lies in it.
pub(super) fn near(value: &[u8]) -> Vec<u8> {
    [&[NEAR], value].concat()
}

/// What sled holds, taken apart; `None` where it is neither of the two.
pub(super) fn decode(stored: &[u8]) -> Option<Stored<'_>> {
    match stored.split_first()? {
        (&NEAR, value) => Some(Stored::Near(value)),
        (&FAR, rest) => {
            let rest: &[u8; POINTER_BYTES - 1] = rest.try_into().ok()?;
            Some(Stored::Far(Pointer {
                file: long(&rest[..8]),
                offset: long(&rest[8..16]),
                len: short(&rest[16..20]),
                checksum: short(&rest[20..]),
            }))
        }
        _ => None,
    }
}

/// The key under which a file's extent lies.
pub(super) fn extent_key(number: u64) -> [u8; 9] {
    let mut key = [RESERVED; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// A file's number and extent.
pub(super) fn read_extent(key: &[u8], value: &[u8]) -> Option<(u64, Extent)> {
    let number = key.strip_prefix(&[RESERVED]).filter(|number| number.len() == 8)?;
    let (bytes, wanted) = value.split_at_checked(8).filter(|(_, wanted)| wanted.len() == 8)?;
    let (bytes, wanted) = (long(bytes), long(wanted));
    Some((long(number), Extent { bytes, wanted })).filter(|_| wanted <= bytes)
}

/// The checksum in a head's last bytes.
pub(super) fn head_checksum(bytes: &[u8; HEAD_BYTES]) -> u32 {
    short(&bytes[12..])
}

impl Extent {
    pub(super) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.bytes.to_be_bytes());
        bytes[8..].copy_from_slice(&self.wanted.to_be_bytes());
        bytes
    }
}

impl Pointer {
    pub(super) fn encode(self) -> [u8; POINTER_BYTES] {
        let mut bytes = [FAR; POINTER_BYTES];
        bytes[1..9].copy_from_slice(&self.file.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.offset.to_be_bytes());
        bytes[17..21].copy_from_slice(&self.len.to_be_bytes());
        bytes[21..].copy_from_slice(&self.checksum.to_be_bytes());
        bytes
    }

    /// Bytes of the whole record, whose key is so long.
    pub(super) fn bytes(self, key_len: usize) -> u64 {
        (HEAD_BYTES + key_len) as u64 + u64::from(self.len)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {:016x}, offset {}, {} bytes", self.file, self.offset, self.len)
    }
}

impl Head {
    pub(super) fn of(key: &[u8], value: &[u8]) -> io::Result<Self> {
        let len = |bytes: &[u8]| {
            u32::try_from(bytes.len()).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too long for a record"))
        };
        Ok(Self {
            key_len: len(key)?,
            len: len(value)?,
            value_checksum: crc32c::crc32c(value),
        })
    }

    pub(super) fn decode(bytes: &[u8; HEAD_BYTES]) -> Self {
        Self {
            key_len: short(&bytes[..4]),
            len: short(&bytes[4..8]),
            value_checksum: short(&bytes[8..12]),
        }
    }

    /// Writes the whole record.
    pub(super) fn write(self, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.lengths());
        out.extend_from_slice(&self.checksum(key).to_be_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }

    /// Over the head and the key.
    pub(super) fn checksum(self, key: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.lengths()), key)
    }

    pub(super) fn pointer(self, file: u64, offset: u64) -> Pointer {
        Pointer {
            file,
            offset,
            len: self.len,
            checksum: self.value_checksum,
        }
    }

    /// Bytes of the whole record.
    pub(super) fn bytes(self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.key_len) + u64::from(self.len)
    }

    fn lengths(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.key_len.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.len.to_be_bytes());
        bytes[8..].copy_from_slice(&self.value_checksum.to_be_bytes());
        bytes
    }
}

fn long(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn short(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_reads_back() {
        let pointer = Pointer {
            file: 1 << 40,
            offset: 77 << 20,
            len: u32::MAX,
            checksum: 0xfeed,
        };
        assert_eq!(decode(&pointer.encode()), Some(Stored::Far(pointer)));
        assert_eq!(decode(&near(b"")), Some(Stored::Near(b"")));
        assert_eq!(decode(&near(b"\x01v")), Some(Stored::Near(b"\x01v")));
        let extent = Extent { bytes: 9, wanted: 7 };
        assert_eq!(read_extent(&extent_key(3), &extent.encode()), Some((3, extent)));
        let head = Head::of(b"key", b"value").unwrap();
        let mut record = Vec::new();
        head.write(b"key", b"value", &mut record);
        assert_eq!(record.len() as u64, head.bytes());
        let bytes = record.first_chunk().unwrap();
        assert_eq!(Head::decode(bytes), head);
        assert_eq!(head.checksum(b"key"), head_checksum(bytes));
        assert_eq!(head.pointer(1, 2).bytes(3), head.bytes());
    }

    #[test]
    fn what_is_neither_is_refused() {
        for stored in [&b""[..], b"\x02", b"\x01short", &[1; 26]] {
            assert_eq!(decode(stored), None, "{stored:?}");
        }
        let more_wanted_than_there = Extent { bytes: 1, wanted: 2 }.encode();
        assert_eq!(read_extent(&extent_key(1), &more_wanted_than_there), None);
        assert_eq!(read_extent(b"\xff123", &[0; 16]), None);
        assert_eq!(read_extent(&extent_key(1), &[0; 15]), None);
    }
}
