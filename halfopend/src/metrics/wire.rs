//! How protocol buffers are encoded (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! The metrics need only four types of fields. A crate would have to copy each label of each
//! target.

/// A message that grows.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// How a field is encoded.
#[derive(Debug, Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
}

impl Message {
    /// Writes a field of an unsigned or enumerated type.
    pub(super) fn unsigned(&mut self, field: u8, value: u64) {
        self.tag(field, WireType::Varint);
        self.varint(value);
    }

    /// Writes a field of type `sint32` or `sint64`: the sign is the last bit.
    pub(super) fn signed(&mut self, field: u8, value: i64) {
        self.unsigned(field, ((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Writes a field of type `double`.
    pub(super) fn double(&mut self, field: u8, value: f64) {
        self.tag(field, WireType::Fixed64);
        self.0.extend(value.to_le_bytes());
    }

    /// Writes a field of type `string`.
    pub(super) fn string(&mut self, field: u8, value: &str) {
        self.message(field, |message| message.fields(value.as_bytes()));
    }

    /// Writes a field that is a message.
    pub(super) fn message(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        self.tag(field, WireType::Length);
        let start = self.0.len();
        write(self);
        self.delimit(start);
    }

    /// Writes fields that are encoded already.
    pub(super) fn fields(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Puts its length before what begins at `start`.
    pub(super) fn delimit(&mut self, start: usize) {
        let end = self.0.len();
        self.varint((end - start) as u64);
        let length = self.0.len() - end;
        self.0[start..].rotate_right(length);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn tag(&mut self, field: u8, wire_type: WireType) {
        self.varint(u64::from(field) << 3 | wire_type as u64);
    }

    /// Writes seven bits at a time, the lowest first. All bytes but the last have the eighth bit.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

impl From<Vec<u8>> for Message {
    /// Continues a message.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(write: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::default();
        write(&mut message);
        message.into_bytes()
    }

    /// The examples of the guide.
    #[test]
    fn fields_are_encoded_as_the_guide_says() {
        assert_eq!(bytes(|it| it.unsigned(1, 150)), [0x08, 0x96, 0x01]);
        let string = [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(bytes(|it| it.string(2, "testing")), string);
        let nested = [0x1a, 0x03, 0x08, 0x96, 0x01];
        assert_eq!(bytes(|it| it.message(3, |it| it.unsigned(1, 150))), nested);
        let most = 0x7fff_ffff;
        for (value, zigzag) in
            [(0, 0), (-1, 1), (1, 2), (-2, 3), (most, 0xffff_fffe), (-most - 1, 0xffff_ffff)]
        {
            assert_eq!(bytes(|it| it.signed(1, value)), bytes(|it| it.unsigned(1, zigzag)));
        }
        assert_eq!(bytes(|it| it.double(1, 1.0)), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }

    #[test]
    fn a_length_may_have_several_bytes() {
        let text = "x".repeat(300);
        let message = bytes(|it| it.string(1, &text));
        assert_eq!(message[..3], [0x0a, 0xac, 0x02]); // 300
        assert_eq!(message[3..], *text.as_bytes());
    }
}
