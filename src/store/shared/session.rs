//! One connection to the database.

use std::pin::pin;

use futures_util::future::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Error, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The values of a statement's parameters. Their types are written out, so that a statement needs no
/// name on the server and no round trip before it: a pooler may give each one another server.
pub(super) type Parameters<'a> = [(&'a (dyn ToSql + Sync), Type)];

/// A connection that is driven by whoever waits for an answer, and by nobody else. To drop it closes
/// the socket: no task is left behind that holds on to a server that does not answer.
pub(super) struct Session {
    client: Client,
    messages: BoxStream<'static, Result<AsyncMessage, Error>>,
}

/// How a statement that succeeded ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// As the database promises.
    AsConfigured,
    /// Somebody ended the wait for the standby: it may not have what was written.
    MaybeNotReplicated,
}

impl Session {
    pub(super) async fn open(config: &Config, tls: MakeRustlsConnect) -> Result<Self, Error> {
        let (client, mut connection) = config.connect(tls).await?;
        let messages = stream::poll_fn(move |cx| connection.poll_message(cx)).boxed();
        Ok(Self { client, messages })
    }

    /// Whether it can still be used, as far as it is known without asking the server.
    pub(super) fn is_open(&mut self) -> bool {
        while let Some(message) = self.messages.next().now_or_never() {
            if !matches!(message, Some(Ok(_))) {
                return false;
            }
        }
        !self.client.is_closed()
    }

    /// Runs one statement and gives its rows to `each`.
    pub(super) async fn query(
        &mut self,
        sql: &str,
        parameters: &Parameters<'_>,
        each: &mut (dyn FnMut(Row) -> Result<(), Error> + Send),
    ) -> Result<Durability, Error> {
        let parameters = parameters.iter().map(|(value, kind)| (*value, kind.clone()));
        let client = &self.client;
        let answer = async move {
            let mut rows = pin!(client.query_typed_raw(sql, parameters).await?);
            while let Some(row) = rows.try_next().await? {
                each(row)?;
            }
            Ok(())
        };
        drive(&mut self.messages, answer).await
    }

    /// Runs several statements, without parameters and results.
    pub(super) async fn execute_all(&mut self, sql: &str) -> Result<Durability, Error> {
        drive(&mut self.messages, self.client.batch_execute(sql)).await
    }

    /// Says goodbye to the server.
    pub(super) async fn close(self) {
        let Self { client, mut messages } = self;
        drop(client);
        while let Some(Ok(_)) = messages.next().await {}
    }
}

/// Moves the connection on until there is an answer.
async fn drive(
    messages: &mut BoxStream<'static, Result<AsyncMessage, Error>>,
    answer: impl Future<Output = Result<(), Error>>,
) -> Result<Durability, Error> {
    let mut answer = pin!(answer);
    let mut durability = Durability::AsConfigured;
    let mut is_over = false;
    loop {
        tokio::select! {
            // A warning comes before the end of its statement, and must be seen before it.
            biased;
            message = messages.next(), if !is_over => match message {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    // "committed locally, but might not have been replicated"
                    if *notice.code() == SqlState::WARNING {
                        durability = Durability::MaybeNotReplicated;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    // What the server said before it closed the connection says more.
                    return match answer.as_mut().now_or_never() {
                        Some(Ok(())) => Ok(durability),
                        Some(Err(said)) if said.as_db_error().is_some() => Err(said),
                        Some(Err(_)) | None => Err(error),
                    };
                }
                None => is_over = true,
            },
            answer = &mut answer => return answer.map(|()| durability),
        }
    }
}
