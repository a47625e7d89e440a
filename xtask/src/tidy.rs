//! Checks the rules of the house that no compiler knows: layers, purity, inherited lints, refused words.

mod failures;
mod layers;
mod sources;

use std::path::Path;

use anyhow::bail;

/// Runs every check and prints each fault with its place; an error when there was one.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let workspace = layers::Workspace::load(root)?;
    let mut faults = workspace.faults();
    faults.extend(sources::faults(root, &workspace)?);
    faults.extend(failures::faults(root)?);
    for fault in &faults {
        eprintln!("{fault}");
    }
    match faults.len() {
        0 => {
            println!("tidy: {} crates, no faults", workspace.crate_count());
            Ok(())
        }
        count => bail!("{count} faults"),
    }
}
