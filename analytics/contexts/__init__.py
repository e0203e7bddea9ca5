"""The contexts agents work in: their hierarchy, how they come and go, who reads and writes them."""
