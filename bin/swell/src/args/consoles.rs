//! Console templates and files of one's own, under Prometheus' names.

use std::path::PathBuf;

use clap::Args;

/// Flags of consoles.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConsoleArgs {
    /// Folder of console templates, served under /consoles/; it need not exist
    #[arg(long = "web.console.templates", value_name = "DIR", default_value = "consoles")]
    pub(crate) console_templates: PathBuf,
    /// Folder of their libraries, files that end in .lib; it need not exist
    #[arg(long = "web.console.libraries", value_name = "DIR", default_value = "console_libraries")]
    pub(crate) console_libraries: PathBuf,
    /// Folder of files that are served as they are, under /user/
    #[arg(long = "web.user-assets", value_name = "DIR")]
    pub(crate) user_assets: Option<PathBuf>,
}
