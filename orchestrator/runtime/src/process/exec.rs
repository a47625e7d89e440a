//! Commands inside a running container, through a shim in `exec` mode.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::ProcessRuntime;
use crate::runtime::RuntimeError;
use crate::shim::ExecVerdict;
use crate::types::{ContainerId, EXEC_OUTPUT_BYTES_MAX, ExecOutput};

/// What the shim may take beyond the command's own time.
const SHIM_MARGIN: Duration = Duration::from_secs(5);

pub(super) async fn exec(
    runtime: &ProcessRuntime,
    id: &ContainerId,
    command: Vec<String>,
    limit: Duration,
) -> Result<ExecOutput, RuntimeError> {
    let status = runtime.inner.status(id)?;
    if !status.state.is_running() {
        return Err(RuntimeError::WrongState {
            what: "container",
            id: id.as_str().to_owned(),
            state: "not running",
            needed: "a command needs a running one",
        });
    }
    let fault = |message: String| RuntimeError::Shim { id: id.clone(), message };
    let shim = &runtime.inner.config.shim;
    let mut child = Command::new(&shim.program)
        .args(&shim.args)
        .arg("exec")
        .arg(runtime.inner.layout.container_dir(id))
        .arg(limit.as_millis().to_string())
        .args(command)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| fault(format!("start {}: {error}", shim.program.display())))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        return Err(fault("has no pipes".to_owned()));
    };
    let ended = async {
        let (output, verdict) = tokio::try_join!(read_head(stdout), read_head(stderr))?;
        child.wait().await?;
        Ok::<_, std::io::Error>((output, verdict))
    };
    let (output, verdict) = match timeout(limit + SHIM_MARGIN, ended).await {
        Ok(ended) => ended.map_err(|error| fault(error.to_string()))?,
        Err(_) => {
            child.kill().await.map_err(|error| fault(format!("kill it: {error}")))?;
            return Err(RuntimeError::ExecTimeout { timeout: limit });
        }
    };
    match serde_json::from_slice(&verdict) {
        Ok(ExecVerdict::Ended(exit_code)) => Ok(ExecOutput { exit_code, output }),
        Ok(ExecVerdict::TimedOut) => Err(RuntimeError::ExecTimeout { timeout: limit }),
        Ok(ExecVerdict::Refused(message)) => Err(RuntimeError::Unrunnable { message }),
        Err(_) => Err(fault(String::from_utf8_lossy(&verdict).trim().to_owned())),
    }
}

/// The first bytes of a stream; the rest is read and dropped, so that the writer is not held up.
async fn read_head(mut source: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let count = source.read(&mut buffer).await?;
        if count == 0 {
            return Ok(head);
        }
        let room = EXEC_OUTPUT_BYTES_MAX - head.len();
        head.extend_from_slice(&buffer[..count.min(room)]);
    }
}
