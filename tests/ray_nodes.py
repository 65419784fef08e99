"""A Ray cluster of several nodes on this machine, in a process of its own: Ray forks.

python ray_nodes.py COUNT    prints the address, then kills a node for each line of input
"""

import logging
import os
import sys

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    # What else this machine does must not starve the tasks, nor a slow node count as dead.
    "RAY_worker_niceness": "0",
}


def main() -> None:
    from ray.cluster_utils import Cluster

    logging.disable(logging.ERROR)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(int(sys.argv[1]))]
    print("address:", cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1))
        print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
