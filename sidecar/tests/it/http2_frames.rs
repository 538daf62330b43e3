//! An HTTP/2 client whose requests never end, or whose responses it does not read.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection.
pub struct Connection {
    stream: TcpStream,
    last_stream: u32,
    /// Bytes of bodies that may be sent.
    window: usize,
}

impl Connection {
    /// A connection whose responses have no window: none of their bodies can be sent.
    pub fn begin(stream: TcpStream) -> Self {
        let mut connection = Self { stream, last_stream: 0, window: 65_535 };
        connection.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        // SETTINGS_INITIAL_WINDOW_SIZE of zero.
        connection.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        connection
    }

    /// Sends `POST /recommend` with this body, and the end of the body or not.
    pub fn post(&mut self, body: &[u8], ends: bool) {
        // The next odd number.
        self.last_stream = (self.last_stream + 1) | 1;
        // HPACK without an index of its own: POST, http, the path, the authority, the content type.
        let mut fields = vec![0x83, 0x86];
        for (name, value) in [(4, "/recommend"), (1, "x")] {
            fields.extend([name, u8::try_from(value.len()).unwrap()]);
            fields.extend(value.as_bytes());
        }
        // The name of index 31 does not fit into the prefix of four bits.
        let json = "application/json";
        fields.extend([0x0f, 31 - 15, u8::try_from(json.len()).unwrap()]);
        fields.extend(json.as_bytes());
        self.send(HEADERS, END_HEADERS, self.last_stream, &fields);
        while self.window < body.len() {
            self.read_frame();
        }
        self.window -= body.len();
        self.send(DATA, if ends { END_STREAM } else { 0 }, self.last_stream, body);
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).unwrap();
    }

    /// Reads a frame, of which only an update of the connection's window matters.
    fn read_frame(&mut self) {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).unwrap();
        let [high, middle, low, kind, _, stream @ ..] = head;
        let mut payload = vec![0; usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)];
        self.stream.read_exact(&mut payload).unwrap();
        if (kind, u32::from_be_bytes(stream)) == (WINDOW_UPDATE, 0) {
            self.window += usize::try_from(u32::from_be_bytes(payload.try_into().unwrap())).unwrap();
        }
    }
}
