//! `check --healthy`: does a running exporter answer? A container without a shell asks itself so.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};

use super::CommandError;
use crate::app;
use crate::base_url::BaseUrl;
use crate::cxone::{HttpLimits, HttpTransport, Network, Transport, TransportFault};

/// How long the exporter has for its answer; shorter than the time limit of a container's health
/// check.
const LIMIT: Duration = Duration::from_secs(3);

/// What lets this command in.
const EXEMPT: &str = "put /-/healthy into `auth_excluded_paths` of its web configuration";

/// What to do when no answer comes from an exporter that is there.
fn advice(address: &BaseUrl, fault: TransportFault) -> String {
    use TransportFault as Fault;
    match (address.is_https(), fault) {
        (true, Fault::NotTls) => "; ask by http://".to_owned(),
        (false, Fault::NotHttp | Fault::Cut) => "; it may speak TLS: ask by https://".to_owned(),
        // With TLS 1.3 a client learns only after the handshake that it lacked a certificate, often
        // by the connection's end alone.
        (true, Fault::Tls | Fault::Cut | Fault::NotHttp) => {
            format!("; it may ask for a client certificate: {EXEMPT}")
        }
        (true, Fault::UnknownIssuer) => "; name the authority in SSL_CERT_FILE".to_owned(),
        (
            _,
            Fault::Name
            | Fault::Connect
            | Fault::Timeout
            | Fault::Coding
            | Fault::NotTls
            | Fault::UnknownIssuer
            | Fault::Expired
            | Fault::WrongName
            | Fault::Tls
            | Fault::ProxyUnreachable
            | Fault::ProxyLogin
            | Fault::ProxyRefused,
        ) => String::new(),
    }
}

/// Asks `/-/healthy` of the exporter at `address`.
///
/// # Errors
/// When it does not answer within 3 s, or anything but 200.
pub(super) async fn ask(address: &BaseUrl) -> Result<(), CommandError> {
    let url = format!("{address}/-/healthy");
    let failed =
        |why: String| CommandError::Failed(format!("the exporter is not healthy: {url}: {why}"));
    let limits = HttpLimits { connect: LIMIT, head: LIMIT, idle: LIMIT };
    let proxies = app::proxies().map_err(|error| failed(error.to_string()))?;
    let network = Network { proxies, ..Network::default() };
    let transport = HttpTransport::for_health(address, &network, limits)
        .map_err(|error| failed(error.to_string()))?;
    let request =
        Request::get(&url).body(Bytes::new()).map_err(|error| failed(error.to_string()))?;
    let answer = transport
        .send(request)
        .await
        .map_err(|error| failed(format!("{error}{}", advice(address, error.fault))))?;
    match answer.status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(failed(format!("it answered {}; {EXEMPT}", answer.status)))
        }
        StatusCode::NOT_FOUND | StatusCode::FOUND => Err(failed(format!(
            "it answered {}; with --web.route-prefix, the address ends in the prefix",
            answer.status
        ))),
        other => Err(failed(format!("it answered {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::server::{ResponseBody, Server, ServerLimits, bind, handler};
    use crate::tasks::Tasks;

    /// What `ask` says of a server that answers everything with `status`.
    async fn of_a_server_that_answers(status: StatusCode) -> Result<(), String> {
        let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address: BaseUrl = format!("http://{}", bound.address()).parse().unwrap();
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        let answer = handler(move |request| async move {
            let known = request.uri().path() == "/-/healthy";
            let mut answer = http::Response::new(ResponseBody::full("an answer\n"));
            *answer.status_mut() = if known { status } else { StatusCode::NOT_FOUND };
            Ok(answer)
        });
        let server = Server::new(ServerLimits::default(), tasks.clone(), stop.clone());
        tasks.essential("server", server.serve(bound, answer));
        let said = ask(&address).await.map_err(|error| error.to_string());
        stop.cancel();
        assert_eq!(tasks.drain(Duration::from_secs(5)).await, Vec::<&str>::new());
        said
    }

    #[tokio::test]
    async fn an_exporter_that_answers_200_is_healthy_and_any_other_status_is_reported() {
        assert_eq!(of_a_server_that_answers(StatusCode::OK).await, Ok(()));
        let error = of_a_server_that_answers(StatusCode::SERVICE_UNAVAILABLE).await.unwrap_err();
        assert!(error.ends_with("/-/healthy: it answered 503 Service Unavailable"), "{error}");
    }

    #[tokio::test]
    async fn an_exporter_that_is_not_there_is_not_healthy() {
        let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address: BaseUrl = format!("http://{}", bound.address()).parse().unwrap();
        drop(bound);
        let error = ask(&address).await.unwrap_err();
        assert_eq!(error.exit_code(), crate::cli::EXIT_FAILURE);
        assert!(
            error.to_string().starts_with("the exporter is not healthy: http://127.0.0.1:"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_exporter_that_never_answers_is_not_healthy() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: BaseUrl = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
        let error = ask(&address).await.unwrap_err().to_string();
        assert!(error.contains("no headers within 3s"), "{error}");
    }
}
