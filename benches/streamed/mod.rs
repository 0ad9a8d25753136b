//! Callers that ask over one CheckStream as they would ask by Check: each waits for its own answer. Measures
//! nothing itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bailiwick::api::pb::v1 as pb;
use pb::check_stream_response::Result as Told;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::served::Client;

/// More than there are callers, so that none waits to ask.
const ASKED: usize = 64;

/// Who waits for which answer.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Told>>>>;

/// One call; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Streamed {
    asked: mpsc::Sender<pb::CheckStreamRequest>,
    waiting: Waiting,
}

impl Streamed {
    /// Begins the call.
    pub(crate) async fn begin(client: &Client) -> Self {
        let (asked, questions) = mpsc::channel(ASKED);
        let answers = client.clone().check_stream(ReceiverStream::new(questions)).await;
        let mut answers = answers.expect("the call begins").into_inner();
        let waiting = Waiting::default();
        let told = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some(answer) = answers.message().await.expect("an answer") {
                let caller = told.lock().expect("nobody panics").remove(&answer.id);
                let result = answer.result.expect("an answer or an error");
                // A caller whose turn is over does not wait.
                let _ = caller.expect("somebody asked").send(result);
            }
        });
        Self { asked, waiting }
    }

    /// Asks, and waits for the answer; no two under way have the same id.
    pub(crate) async fn check(&self, id: u64, question: pb::CheckRequest) {
        let (tell, answer) = oneshot::channel();
        self.waiting.lock().expect("nobody panics").insert(id, tell);
        let asked = pb::CheckStreamRequest { id, question: Some(question) };
        self.asked.send(asked).await.expect("the call goes on");
        let told = answer.await.expect("the call goes on");
        assert!(matches!(told, Told::Answer(_)), "{told:?}");
    }
}
