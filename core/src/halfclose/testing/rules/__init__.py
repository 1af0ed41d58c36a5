"""The rules of the contract, each with its test.

=====  ==================================================================================
EVT    `events`; `contexts` is for EVT-16
VRB    `verbs`
FLU    `flushing`
PRD    `producers`; `proxies`, of a transport that is a producer
ERR    `failures`; `accepting`, `connecting`, `exits` of programs, `forking`
END    `closing`; `lingering` is what goes on after it
PIP    `pipes`; `descriptors`, of standard input and output as others have left them
LOOP   `loop`; `running` a program, and leaving it
=====  ==================================================================================

`alternatives` is what is tried where a capability is declared off.
"""
