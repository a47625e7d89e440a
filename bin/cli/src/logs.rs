//! `logs`: a container's log as it comes.

use futures::StreamExt as _;
use swell_client::LogParams;

use crate::CliError;
use crate::args::LogsArgs;
use crate::connect::Connection;
use crate::output::Output;

/// Runs `logs`.
pub(crate) async fn run(args: &LogsArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let connection = Connection::open(&args.kube)?;
    let pod = args.pod.strip_prefix("pod/").unwrap_or(&args.pod);
    let params = LogParams {
        container: args.container.clone(),
        follow: args.follow,
        tail_lines: args.tail,
        previous: args.previous,
        timestamps: args.timestamps,
        ..LogParams::default()
    };
    let what = format!("read the log of pod {pod}");
    let stream = connection
        .client
        .logs(&connection.namespace, pod, &params)
        .await
        .map_err(CliError::api(what.clone()))?;
    let mut stream = std::pin::pin!(stream);
    while let Some(chunk) = stream.next().await {
        out.bytes(&chunk.map_err(CliError::api(what.clone()))?)?;
    }
    Ok(())
}
