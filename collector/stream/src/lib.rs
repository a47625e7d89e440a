//! The agent stream: node agent to server over gRPC, series announced once, batches acknowledged and resumed.
