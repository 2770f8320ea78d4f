//! A node's own way to its database: a socket that passes bytes on until it is cut or stands still.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const SOCKET: &str = ".s.PGSQL.5432";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    /// Connections break, and none are made.
    Cut,
    /// Nothing passes and nothing breaks, as in a network that drops everything.
    Still,
}

pub struct Link {
    folder: TempDir,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// A way to the database whose socket is in this folder.
    pub fn to(database: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("dialgate-link-")
            .tempdir_in("/tmp")
            .unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let (state, seen) = watch::channel(State::Open);
        let task = tokio::spawn(listen(listener, database.join(SOCKET), seen));
        Self {
            folder,
            state,
            task,
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn listen(listener: UnixListener, database: PathBuf, state: watch::Receiver<State>) {
    let database = Arc::new(database);
    loop {
        let Ok((near, _)) = listener.accept().await else {
            return;
        };
        if *state.borrow() == State::Cut {
            continue;
        }
        let (database, state) = (Arc::clone(&database), state.clone());
        tokio::spawn(async move {
            let Ok(far) = UnixStream::connect(&*database).await else {
                return;
            };
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            // Whichever ends first ends both.
            tokio::select! {
                () = pass(near_in, far_out, state.clone()) => {}
                () = pass(far_in, near_out, state) => {}
            }
        });
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16_384];
    let mut cut = state.clone();
    loop {
        let length = tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(length) if length > 0 => length,
                _ => return,
            },
            _ = cut.wait_for(|state| *state == State::Cut) => return,
        };
        let Ok(now) = state
            .wait_for(|state| *state != State::Still)
            .await
            .map(|now| *now)
        else {
            return;
        };
        if now == State::Cut || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
