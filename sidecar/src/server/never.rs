//! A timer that never fires, for a library that must have one where another timer decides. It takes
//! neither memory nor a place in the runtime's timers.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

/// The timer, and each of its sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Never;

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Sleep for Never {}

impl Timer for Never {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        // A box of a type without size is not an allocation.
        Box::pin(Self)
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Self)
    }
}
