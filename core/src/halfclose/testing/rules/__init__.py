"""The rules of the contract, each with its test.

=====  ====================================================================================
EVT    `events`; `contexts` for EVT-16
VRB    `verbs`
FLU    `flushing`
PRD    `producers`; `proxies` for a transport that is another's producer
ERR    `failures`; `accepting`, `connecting`, `exits` of programs, `forking`
END    `closing`; `lingering` for what goes on after a close
PIP    `pipes`; `descriptors` for what a program finds at its standard descriptors
LOOP   `loop`; `running` for running a program and leaving it
=====  ====================================================================================

`alternatives` has the tests that are run in place of a rule's if a capability is declared off.
"""
