//! Filter, score and spread: from pods and nodes to an assignment, or to why a pod stays pending.
