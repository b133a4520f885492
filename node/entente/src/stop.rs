//! How a node ends: a signal, or a part that failed and must take the node down with it.

use tokio::sync::mpsc;

/// Hears of the first part that failed.
pub(crate) struct Stop {
    sender: StopHandle,
    receiver: mpsc::Receiver<String>,
}

/// Held by every part that the node cannot live without.
#[derive(Clone)]
pub(crate) struct StopHandle {
    sender: mpsc::Sender<String>,
}

impl Default for Stop {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender: StopHandle { sender }, receiver }
    }
}

impl Stop {
    /// A handle for a part.
    #[must_use]
    pub(crate) fn handle(&self) -> StopHandle {
        self.sender.clone()
    }

    /// Waits until a part failed; tells why.
    pub(crate) async fn failed(&mut self) -> String {
        self.receiver.recv().await.unwrap_or_else(|| "every part is gone".to_owned())
    }
}

impl StopHandle {
    /// Reports a failure; only the first counts.
    pub(crate) fn fail(&self, reason: String) {
        drop(self.sender.try_send(reason));
    }
}

/// Waits until these threads have ended.
pub(crate) async fn join(threads: Vec<std::thread::JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            drop(thread.join());
        }
    });
    drop(joined.await);
}

/// Runs a part on a thread of its own. A failure or a panic stops the node: a validator that
/// lost its engine or its chain must not look alive.
///
/// # Errors
/// When the operating system gives no thread.
pub(crate) fn spawn(
    name: &'static str,
    stop: StopHandle,
    run: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        match outcome {
            Ok(Ok(())) => tracing::debug!(name, "thread ended"),
            Ok(Err(error)) => stop.fail(format!("{name} thread: {error:#}")),
            Err(_) => stop.fail(format!("{name} thread panicked")),
        }
    })
}
