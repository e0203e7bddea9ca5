"""What differs between two runs?"""

from dashboard.components import states

states.empty(
    "Choose two runs", "Mark two runs on the page Runs, then choose Compare.", icon=":material/compare_arrows:"
)
