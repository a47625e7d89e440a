//! Memory comes from jemalloc: what is freed goes back to the system within a second, where the system's own allocator
//! keeps what a flush or a merge has left behind (docs/adr/037).

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Few arenas, since what is free in one is of no use to the others: four keep twice as little as one for each thread.
/// `MALLOC_CONF` in the environment has the last word.
#[expect(unsafe_code, reason = "jemalloc reads its settings from a symbol of this name")]
// SAFETY: the name is jemalloc's, for a pointer to a text that ends in zero and lives as long as the process.
#[unsafe(export_name = "malloc_conf")]
#[used]
pub(crate) static SETTINGS: &u8 =
    &b"narenas:4,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0"[0];
