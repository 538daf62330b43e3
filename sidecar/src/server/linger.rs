//! The end of a refused connection. If the server closed a socket with unread bytes, the kernel
//! would reset the connection, and the client could lose what states the refusal.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::limits::{LINGER_BYTES_MAX, LINGER_TIMEOUT};

/// Shuts down the write side and reads what the client still sends, until it closes.
pub async fn linger(mut stream: TcpStream) {
    let discarded = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX as u64), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER_TIMEOUT, discarded).await;
}
