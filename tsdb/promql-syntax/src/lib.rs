//! Lexer, parser, AST with source positions, and printer of PromQL.
